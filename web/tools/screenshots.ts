// Take pictures of the pages, by widths, light and dark: `make screenshots`, or some of them by `ONLY='share|trash'`. They are
// for looking at, in `.screenshots`; `PICTURES=1` also draws those of the documentation, in `docs/pictures`.

import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Browser, BrowserContext, BrowserContextOptions, Page } from "playwright-core";
import { expect } from "vitest";
import { server } from "../e2e/support/account.ts";
import { makeAdmin } from "../e2e/support/admin.ts";
import { signIn, test } from "../e2e/support/app.ts";
import { MIB } from "../e2e/support/files.ts";
import { slowDown } from "../e2e/support/network.ts";
import { drawLandscape, makeSample, type Sample } from "./sampleContent.ts";

const FOLDER = join(import.meta.dirname, "../../.screenshots");
const PICTURES = join(import.meta.dirname, "../../docs/pictures");
const WANTED = new RegExp(process.env.ONLY ?? "");
/** The machine may be busy. */
const WAIT_MS = 300_000;
const DRAWS_PICTURES = process.env.PICTURES === "1";

const SCREENS: readonly [string, BrowserContextOptions][] = [
  ["1440", { viewport: { width: 1440, height: 900 } }],
  ["768", { viewport: { width: 768, height: 1024 } }],
  ["390", { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true }],
];
/** The documentation has its pictures in this form. */
const PICTURE = "1440-light";

interface Shot {
  path: string;
  /** A text that the page shows, or what to do with the page. */
  until: string | ((page: Page) => Promise<unknown>);
  view?: "list" | "grid";
  isPublic?: boolean;
  /** Name of the picture in the documentation. */
  picture?: string;
}

function listShots(sample: Sample): Record<string, Shot> {
  const { owner, photos, photo, document, code, film, notes, project, empty, gallery, inbox } = sample;
  const click = (name: string | RegExp) => (page: Page) => page.getByRole("button", { name }).first().click();
  return {
    "sign-in": { path: "/sign-in", until: "Stay signed in", isPublic: true },
    "sign-up": { path: "/sign-up", until: "Create the account", isPublic: true },
    link: { path: gallery.url_path, until: "Glacier.jpg", isPublic: true },
    "link-upload": { path: inbox.url_path, until: "Choose files", isPublic: true },
    files: { path: "/files", until: "Floor plan.pdf" },
    "files-grid": { path: `/files/${photos.id}`, until: "Glacier.jpg", view: "grid" },
    "files-selected": { path: "/files", until: select },
    "files-menu": { path: "/files", until: click("Actions for Floor plan.pdf") },
    "files-empty": { path: `/files/${empty.id}`, until: "This folder is empty" },
    "files-missing": { path: "/files/00000000-0000-4000-8000-000000000000", until: "Folder not found" },
    "files-loading": { path: "/files", until: openWithoutAnswer },
    "account-menu": { path: "/files", until: click(/your account/) },
    recent: { path: "/recent", until: (page) => page.locator("[data-id]").first().waitFor() },
    search: { path: "/search?q=plan", until: "Floor plan.pdf" },
    "conflict-copies": { path: "/conflict-copies", until: "Conflict copy" },
    "conflict-copy": {
      path: "/conflict-copies",
      until: async (page) => {
        await page.getByRole("link", { name: /conflict copy of/ }).click();
        await page.getByRole("dialog").getByRole("link", { name: "Conflict copy" }).click();
        await page.getByText("The original").first().waitFor();
      },
    },
    "preview-photo": {
      path: `/files/${photos.id}?preview=${photo.id}`,
      until: (page) => page.getByRole("img", { name: photo.name }).waitFor(),
    },
    "preview-pdf": { path: `/files?preview=${document.id}`, until: "Living room", picture: "preview" },
    "preview-code": { path: `/files?preview=${code.id}`, until: "def" },
    "preview-markdown": { path: `/files?preview=${notes.id}`, until: "Defrost" },
    "preview-film": { path: `/files?preview=${film.id}`, until: (page) => page.locator("video").waitFor() },
    details: { path: `/files?details=${document.id}`, until: "SHA-256" },
    share: { path: "/files", until: share, picture: "share" },
    "share-link": { path: `/files?share=${photos.id}`, until: click("Create a link") },
    versions: { path: `/files?versions=${notes.id}`, until: "Restore" },
    shared: { path: "/shared", until: "Wedding" },
    "shared-by-me": { path: "/shared/by-me", until: project.name },
    links: { path: "/links", until: "Copy link" },
    activity: { path: "/activity", until: "Today" },
    storage: { path: "/storage", until: "Old laptop.zip" },
    trash: { path: "/trash", until: "notes old.txt" },
    "trash-question": { path: "/trash", until: click("Empty trash") },
    profile: { path: "/account/profile", until: owner.email },
    security: { path: "/account/security", until: "Add a passkey" },
    sessions: { path: "/account/sessions", until: "This browser" },
    tokens: { path: "/account/tokens", until: "No tokens yet" },
    deletion: { path: "/account/deletion", until: "Delete my account" },
    admin: {
      path: "/admin",
      until: (page) =>
        page
          .getByRole("button", { name: /^Actions for / })
          .first()
          .waitFor(),
    },
    "not-found": { path: "/files/a/b/c", until: "Page not found" },
    uploads: { path: `/files/${photos.id}`, until: upload, view: "grid", picture: "files" },
  };
}

test("pages have their pictures", { timeout: 3_600_000 }, async ({ browser, context }) => {
  const sample = await makeSample(context);
  await makeAdmin(sample.owner);
  await waitForThumbnails(sample);
  for (const folder of [FOLDER, PICTURES]) await mkdir(folder, { recursive: true });
  const shots = Object.entries(listShots(sample)).filter(([name]) => WANTED.test(name));
  for (const [width, options] of SCREENS) {
    for (const isPublic of [true, false]) {
      const visit = await openContext(browser, options);
      if (!isPublic) await signIn(await visit.newPage(), sample.owner);
      for (const [name, shot] of shots) {
        if ((shot.isPublic ?? false) === isPublic) await takePictures(visit, `${name}-${width}`, shot);
      }
      await visit.close();
    }
  }
});

async function waitForThumbnails({ owner, photos }: Sample): Promise<void> {
  const list = `/v1/files?parent_id=${photos.id}&thumbnails=true`;
  const countMissing = async () => {
    const { items } = await owner.call<{ items: { thumbnails: object | null }[] }>("GET", list);
    return items.filter(({ thumbnails }) => thumbnails === null).length;
  };
  await expect.poll(countMissing, { timeout: WAIT_MS, interval: 500 }).toBe(0);
}

async function openContext(browser: Browser, options: BrowserContextOptions): Promise<BrowserContext> {
  const rest = { reducedMotion: "reduce", locale: "en", serviceWorkers: "block" } as const; // routes do not see those
  const context = await browser.newContext({ ...options, ...rest });
  context.setDefaultTimeout(WAIT_MS);
  await context.route(/\/v1\/(files|recent|search)\?/, async (route) => {
    const answer = await route.fetch();
    const list = await answer.json();
    for (const item of list.items ?? []) item.modified_at = inventDate(item.name);
    await route.fulfill({ response: answer, json: list });
  });
  return context;
}

/** Return a time of the last year: all files have just been uploaded. */
function inventDate(name: string): string {
  const hours = [...name].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % 8009, 7);
  return new Date(Date.now() - hours * 3_600_000).toISOString();
}

async function takePictures(context: BrowserContext, name: string, shot: Shot): Promise<void> {
  const page = await context.newPage();
  await page.addInitScript((view) => localStorage.setItem("files-view", JSON.stringify(view)), shot.view ?? "list");
  await page.goto(server + shot.path);
  if (typeof shot.until === "string") await page.getByText(shot.until).first().waitFor();
  else await shot.until(page);
  if (!shot.isPublic) await page.locator("[aria-label*='your account']").waitFor({ state: "attached" });
  for (const colorScheme of ["light", "dark"] as const) {
    await page.emulateMedia({ colorScheme });
    await page.waitForFunction(() => {
      const isBelow = (image: HTMLImageElement) => image.getBoundingClientRect().top > innerHeight; // it loads later
      return [...document.images].every((image) => image.complete || isBelow(image));
    });
    await page.screenshot({ path: join(FOLDER, `${name}-${colorScheme}.png`) });
    if (DRAWS_PICTURES && shot.picture && `${name}-${colorScheme}`.endsWith(PICTURE))
      await drawPicture(page, shot.picture);
  }
  await page.close();
}

/** Save a picture for the documentation, as WebP: a tenth of a PNG. */
async function drawPicture(page: Page, name: string): Promise<void> {
  const devtools = await page.context().newCDPSession(page);
  const { data } = await devtools.send("Page.captureScreenshot", { format: "webp", quality: 85 });
  await writeFile(join(PICTURES, `${name}.webp`), data, "base64");
}

async function select(page: Page): Promise<void> {
  for (const name of ["Floor plan.pdf", "Lease.docx"]) {
    await page.getByRole("row", { name, exact: true }).click({ modifiers: ["Control"] });
  }
  await page.getByText("2 selected").first().waitFor();
}

async function share(page: Page): Promise<void> {
  await page.getByRole("button", { name: "Actions for House renovation" }).click();
  await page.getByRole("menuitem", { name: "Share" }).click();
  await page.getByText("joiner@example.com").waitFor();
}

async function openWithoutAnswer(page: Page): Promise<void> {
  const folder = page.getByRole("link", { name: "House renovation" });
  await folder.waitFor();
  await page.route("**/v1/files?*", () => {}); // it waits for ever
  await folder.click();
  await page.getByLabel("Loading").first().waitFor();
}

/** Upload slowly, so that some files are complete, one is on its way, and others wait. */
async function upload(page: Page): Promise<void> {
  const artist = await page.context().newPage();
  const width = page.viewportSize()?.width ?? 0;
  const place = width > 1000 ? "Summer" : width > 500 ? "Sunday" : "Sunrise"; // taken names would be asked about
  const files = await Promise.all(
    [1, 2, 3, 4, 5].map(async (number) => {
      const buffer = await drawLandscape(artist, width + number);
      return { name: `${place} ${number}.jpg`, mimeType: "image/jpeg", buffer };
    }),
  );
  await artist.close();
  await slowDown(page, MIB / 4);
  const film = { name: "Sailing, uncut.mov", mimeType: "video/quicktime", buffer: Buffer.alloc(40 * MIB, 5) };
  await page.setInputFiles("[data-testid=upload-files]", [...files, film]);
  await page
    .getByText(/[1-5] of 6 done/)
    .first()
    .waitFor();
}
