// Measures one page in a new Chromium: `node measure.ts ORDER`. Prints the time of the drop, then the result as JSON.

import { readFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { join, resolve } from "node:path";
import type { JSHandle, Page } from "playwright-core";
import { rolldown } from "rolldown";
import { launchChromium } from "../../web/e2e/support/chromium.ts";
import { dropFiles } from "../../web/e2e/support/drop.ts";
import type { Candidate } from "./candidate.ts";
import { watchTasks } from "./page.ts";

interface Order {
  page: "engine" | "uppy" | "hash";
  /** Of the page. */
  options: Record<string, string>;
  /** The page's port on `localhost`: API and store allow this origin. */
  port: number;
  store: string;
  /** Where the packages of Uppy are installed. */
  packages: string;
  /** Files and folders to drop; none: queue files that the page makes. */
  paths: string[];
  queuedFiles: number;
}

interface Result {
  wallS: number;
  /** The longest task of the page's main thread; 0 if none took 50 ms. */
  longestTaskMs: number;
  /** Requests to another server than the store and the site, without preflights. */
  apiCalls: number;
}

/** Queued files are sent meanwhile: what that costs the page belongs to it. */
const AFTER_QUEUE_MS = 2000;
const PAGE = '<!doctype html><meta charset="utf-8"><main></main><script type="module" src="/page.js"></script>';

async function measure(order: Order): Promise<Result> {
  const { page: name, options, port, store, paths, queuedFiles } = order;
  const origin = `http://localhost:${port}`;
  const site = await openSite(order);
  const browser = await launchChromium();
  try {
    const page = await browser.newPage();
    page.setDefaultTimeout(0);
    let apiCalls = 0;
    page.on("request", (request) => {
      const isApi = ![origin, store].includes(new URL(request.url()).origin) && /^http/.test(request.url());
      if (isApi && request.method() !== "OPTIONS") apiCalls += 1;
    });
    page.on("pageerror", (error) => console.error(`${name}: ${error.message}`));
    await page.goto(`${origin}/#${new URLSearchParams(options)}`);
    await page.waitForFunction(() => window.candidate);
    await page.evaluate(() => window.candidate?.ready);
    const files = await makeFiles(page, queuedFiles);
    const readLongest = await watchTasks(page);
    const wallS = paths.length ? await drop(page, paths) : await queue(files);
    return { wallS, longestTaskMs: await readLongest(), apiCalls };
  } finally {
    await browser.close();
    site.close();
  }
}

/** Drop files on the page, which uploads them; return the seconds until they are stored. */
async function drop(page: Page, files: string[]): Promise<number> {
  const ended = await page.evaluateHandle(() => {
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    document.ondragover = (event) => event.preventDefault();
    document.ondrop = (event) => {
      event.preventDefault();
      const began = performance.now();
      const sent = (window.candidate as Candidate).send(event.dataTransfer as DataTransfer);
      sent.then(() => resolve((performance.now() - began) / 1000), reject);
    };
    return { promise };
  });
  console.log(await dropFiles(page, files, 10, 10));
  return ended.evaluate(({ promise }) => promise);
}

/** Queue files; return the seconds until the page has taken them. */
function queue(files: JSHandle<File[]>): Promise<number> {
  return files.evaluate(async (files, afterMs) => {
    await new Promise((resolve) => setTimeout(resolve)); // the task of `evaluate` itself is not observed
    const began = performance.now();
    await window.candidate?.queue?.(files);
    const tookS = (performance.now() - began) / 1000;
    await new Promise((resolve) => setTimeout(resolve, afterMs));
    return tookS;
  }, AFTER_QUEUE_MS);
}

/** Make tiny files, and wait until the page is idle again. */
function makeFiles(page: Page, count: number): Promise<JSHandle<File[]>> {
  return page.evaluateHandle(async (count) => {
    const files = Array.from({ length: count }, (_, index) => new File([`content ${index}`], `${index}.txt`));
    await new Promise((resolve) => setTimeout(resolve, 500));
    return files;
  }, count);
}

// The site of the page

async function openSite(order: Order): Promise<Server> {
  const files = new Map<string, string>([["/", PAGE]]);
  for (const [name, code] of await build(order)) files.set(`/${name}`, code);
  if (order.options["dashboard"]) {
    const styles = ["core", "dashboard"].map((name) => join(order.packages, "@uppy", name, "dist/style.min.css"));
    const sheets = await Promise.all(styles.map((path) => readFile(path, "utf8")));
    files.set("/", `<style>${sheets.join("")}</style>${PAGE}`);
  }
  const site = createServer((request, answer) => {
    const file = files.get(request.url ?? "");
    const type = request.url === "/" ? "text/html" : "text/javascript";
    if (file === undefined) answer.writeHead(404).end();
    else answer.setHeader("Content-Type", type).end(file);
  });
  await new Promise<void>((listening) => site.listen(order.port, "127.0.0.1", listening));
  return site;
}

/** Bundle the page as an application does: a worker is a file beside it, Uppy comes from its own packages. */
async function build({ page, packages }: Order): Promise<[name: string, code: string][]> {
  const from = (path: string) => resolve(import.meta.dirname, path);
  const workers = {
    engine: { worker: from("../../clients/js/src/worker/main.ts") },
    hash: { hash_worker: from("hash_worker.ts") },
    uppy: {},
  };
  const bundle = await rolldown({
    input: { ...workers[page], page: from(`${page}_page.ts`) },
    platform: "browser",
    logLevel: "silent",
    ...(page === "uppy" && { resolve: { modules: [packages] } }),
  });
  const { output } = await bundle.generate({ format: "esm", chunkFileNames: "[name].js", minify: true });
  return output.map((file) => [file.fileName, "code" in file ? file.code : ""]);
}

console.log(JSON.stringify(await measure(JSON.parse(process.argv[2] ?? ""))));
