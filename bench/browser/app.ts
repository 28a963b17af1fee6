// Measures the web app in a new Chromium: `node app.ts ORDER`. Prints the result as JSON.

import type { Browser, BrowserContext, Page } from "playwright-core";
import { launchChromium } from "../../web/e2e/support/chromium.ts";
import { dropFiles } from "../../web/e2e/support/drop.ts";
import { watchTasks } from "./page.ts";

interface Order {
  server: string;
  email: string;
  password: string;
  /** Paths of the server that show a list of files. */
  pages: Record<string, string>;
  /** The page that is scrolled. */
  scrolled: string;
  /** A folder of this machine that is dropped, and how many files it has. */
  folder: string;
  uploads: number;
  runs: number;
}

interface Result {
  /** Milliseconds from the navigation until the list is there and the main thread is idle. */
  coldMs: Record<string, number[]>;
  warmMs: Record<string, number[]>;
  /** Milliseconds between frames. */
  framesMs: number[];
  longestTaskMs: number;
}

const FRAMES = 300;
const FRAME_PX = 240;

async function measure(order: Order): Promise<Result> {
  const browser = await launchChromium();
  try {
    const state = await signIn(browser, order);
    const coldMs: Record<string, number[]> = {};
    const warmMs: Record<string, number[]> = {};
    for (let run = 0; run < order.runs; run++) {
      for (const [name, path] of Object.entries(order.pages)) {
        const context = await open(browser, state); // with an empty cache
        const page = await context.newPage();
        (coldMs[name] ??= []).push(await load(page, order.server + path));
        await page.goto("about:blank");
        (warmMs[name] ??= []).push(await load(page, order.server + path));
        await context.close();
      }
    }
    const page = await (await open(browser, state)).newPage();
    await load(page, order.server + (order.pages[order.scrolled] ?? ""));
    const framesMs = await scroll(page);
    return { coldMs, warmMs, framesMs, longestTaskMs: await upload(page, order) };
  } finally {
    await browser.close();
  }
}

type State = Awaited<ReturnType<BrowserContext["storageState"]>>;

async function signIn(browser: Browser, { server, email, password }: Order): Promise<State> {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(`${server}/sign-in`);
  await page.getByLabel("Email").fill(email);
  await page.getByLabel(/^Password/).fill(password);
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
  await page.waitForURL(/\/files/);
  const state = await context.storageState();
  await context.close();
  return state;
}

async function open(browser: Browser, storageState: State): Promise<BrowserContext> {
  const context = await browser.newContext({ storageState, viewport: { width: 1440, height: 900 } });
  context.setDefaultTimeout(0);
  return context;
}

async function load(page: Page, url: string): Promise<number> {
  await page.goto(url, { waitUntil: "commit" });
  await page.waitForSelector("[data-id]");
  return page.evaluate(() => new Promise<number>((idle) => requestIdleCallback(() => idle(performance.now()))));
}

/** Scroll the list a few lines in each frame; return the times between frames. */
function scroll(page: Page): Promise<number[]> {
  return page.evaluate(
    async ([frames, step]) => {
      let list = document.querySelector("[data-id]")?.parentElement;
      while (list && list.scrollHeight <= list.clientHeight) list = list.parentElement;
      const times: number[] = [];
      let last = await new Promise(requestAnimationFrame);
      for (let frame = 0; frame < frames && list; frame++) {
        list.scrollTop += step;
        const now = await new Promise(requestAnimationFrame);
        times.push(now - last);
        last = now;
      }
      return times;
    },
    [FRAMES, FRAME_PX] as const,
  );
}

async function upload(page: Page, { server, folder, uploads }: Order): Promise<number> {
  await load(page, `${server}/files`);
  const readLongest = await watchTasks(page);
  await dropFiles(page, [folder], 700, 500);
  await page
    .getByText(`${uploads.toLocaleString("en")} uploads complete`)
    .first()
    .waitFor();
  return readLongest();
}

console.log(JSON.stringify(await measure(JSON.parse(process.argv[2] ?? ""))));
