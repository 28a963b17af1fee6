// The upload tray with many files, a large one, and a computer that sleeps: run by `make e2e-long`.

import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { Browser, Page } from "playwright-core";
import { expect } from "vitest";
import { Account } from "./support/account.ts";
import { signIn, test } from "./support/app.ts";
import { dropFiles } from "./support/drop.ts";
import { MIB, makeRandomFile, makeSparseFile } from "./support/files.ts";

const FILES = 10_000;
/** Longer than signed URLs live in the long tests. */
const SLEEP_MS = 130_000;

const tray = (page: Page) => page.getByRole("region", { name: "Uploads", exact: true });

test("dropped folder of 10,000 files says how long it takes, keeps few elements, and arrives whole", async ({
  page,
}) => {
  const account = await Account.create();
  const folder = await mkdtemp(join(tmpdir(), "dropbox-api-e2e-app-"));
  try {
    await mkdir(join(folder, "many"));
    for (let number = 0; number < FILES; number++) await writeFile(join(folder, "many", `${number}.txt`), `${number}`);
    await signIn(page, account);
    await page.getByRole("button", { name: "Upload", exact: true }).waitFor();
    await dropFiles(page, [join(folder, "many")], 700, 500);
    await tray(page)
      .getByText(/ left$/)
      .waitFor();
    expect(await tray(page).locator("*").count()).toBeLessThan(2000);
    await tray(page).getByText("10,000 uploads complete").waitFor();
    const [many] = await account.list();
    expect(many && (await account.count(many))).toBe(FILES);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("file of 5 GB is uploaded", async ({ page }) => {
  const account = await Account.create();
  const source = await makeSparseFile("film.mov", 5 * 1024 * MIB);
  try {
    await signIn(page, account);
    await page.setInputFiles("[data-testid=upload-files]", source.path);
    await tray(page).getByText("1 upload complete").waitFor();
    await page.getByRole("row", { name: "film.mov", exact: true }).waitFor();
    expect(await account.list()).toMatchObject([{ fingerprint: source.sha256 }]);
  } finally {
    await source.remove();
  }
});

test("upload goes on by itself after the computer has slept", async ({ page, browser }) => {
  const account = await Account.create();
  const source = await makeRandomFile("film.mov", 1024 * MIB);
  try {
    await signIn(page, account);
    await page.setInputFiles("[data-testid=upload-files]", source.path);
    await tray(page)
      .getByText(/done, [2-5]\d %/)
      .waitFor();
    await sleep(browser);
    await tray(page).getByText("1 upload complete").waitFor();
    expect(await account.list()).toMatchObject([{ fingerprint: source.sha256 }]);
  } finally {
    await source.remove();
  }
});

/** Stop all processes of a browser for longer than its URLs and its access token live. */
async function sleep(browser: Browser): Promise<void> {
  const devtools = await browser.newBrowserCDPSession();
  const { processInfo } = await devtools.send("SystemInfo.getProcessInfo");
  const send = (signal: "SIGSTOP" | "SIGCONT") => {
    for (const { id } of processInfo) process.kill(id, signal);
  };
  send("SIGSTOP");
  try {
    await pause(SLEEP_MS);
  } finally {
    send("SIGCONT");
  }
}
