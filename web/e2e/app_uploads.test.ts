// The upload tray, as a person uses it.

import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { expect } from "vitest";
import { Account, type RemoteFile, server } from "./support/account.ts";
import { signIn, test } from "./support/app.ts";
import { dropFiles } from "./support/drop.ts";
import { MIB, makeRandomFile } from "./support/files.ts";
import { refuseUploads, slowDown } from "./support/network.ts";

const bytes = (text: string) => Buffer.from(text) as Buffer<ArrayBuffer>;

const tray = (page: Page) => page.getByRole("region", { name: "Uploads", exact: true });

async function openFiles(page: Page, account: Account): Promise<void> {
  await signIn(page, account, "/files");
  await page.getByRole("button", { name: "Upload", exact: true }).waitFor();
}

function pick(page: Page, files: Parameters<Page["setInputFiles"]>[1]): Promise<void> {
  return page.setInputFiles("[data-testid=upload-files]", files);
}

const drop = (page: Page, paths: string[]) => dropFiles(page, paths, 700, 500);

test("dropped folder arrives with its empty subfolders, and no byte passes through the API", async ({ page }) => {
  const account = await Account.create();
  const folder = await mkdtemp(join(tmpdir(), "dropbox-api-e2e-app-"));
  let largest = 0;
  page.on("request", (request) => {
    if (request.url().startsWith(`${server}/v1`)) largest = Math.max(largest, request.postDataBuffer()?.length ?? 0);
  });
  try {
    await mkdir(join(folder, "trip", "empty"), { recursive: true });
    await writeFile(join(folder, "trip", "plan.txt"), "plan");
    await writeFile(join(folder, "trip", "film.bin"), Buffer.alloc(MIB, 7));
    await openFiles(page, account);
    await drop(page, [join(folder, "trip")]);
    await page.getByRole("row", { name: "trip", exact: true }).waitFor();
    await tray(page).getByText("3 uploads complete").waitFor();
    await page.getByRole("link", { name: "trip", exact: true }).click();
    for (const name of ["empty", "film.bin", "plan.txt"]) await page.getByRole("row", { name, exact: true }).waitFor();
    expect(largest).toBeLessThan(MIB / 8);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("taken names are asked about, once for all", async ({ page }) => {
  const account = await Account.create();
  for (const name of ["a.txt", "b.txt", "c.txt"]) await account.upload(name, bytes(`old ${name}`));
  await openFiles(page, account);
  const files = ["a.txt", "b.txt", "c.txt"].map((name) => ({
    name,
    mimeType: "text/plain",
    buffer: bytes(`new ${name}, longer`),
  }));
  await pick(page, files);
  await page.getByRole("dialog").getByText("This folder has").waitFor();
  await page.getByLabel("Do this for all files").check();
  await page.getByRole("dialog").getByRole("button", { name: "Replace" }).click();
  await tray(page).getByText("3 uploads complete").waitFor();
  const listed: RemoteFile[] = await account.list();
  expect(listed.map(({ name, size_bytes }) => [name, size_bytes])).toEqual(
    files.map(({ name, buffer }) => [name, buffer.length]),
  );
});

test("upload that a reload interrupts continues when its file is chosen again", async ({ page }) => {
  const account = await Account.create();
  const source = await makeRandomFile("film.mov", 24 * MIB);
  page.on("dialog", (dialog) => dialog.accept().catch(() => undefined)); // of beforeunload
  try {
    await openFiles(page, account);
    const speedUp = await slowDown(page, 4 * MIB);
    await pick(page, source.path);
    await tray(page).getByRole("button", { name: "Pause film.mov" }).click();
    await tray(page).getByText("1 upload paused").waitFor();
    await speedUp();
    await page.reload();
    await tray(page).getByText("1 upload needs its file").waitFor();
    await tray(page).locator("input[type=file]").setInputFiles(source.path);
    await tray(page).getByText("1 upload complete").waitFor();
    await page.getByRole("row", { name: "film.mov", exact: true }).waitFor();
    expect(await account.list()).toMatchObject([{ fingerprint: source.sha256 }]);
  } finally {
    await source.remove();
  }
});

test("uploads that the server refuses are all sent by Retry all", async ({ page }) => {
  const account = await Account.create();
  await openFiles(page, account);
  const accept = await refuseUploads(page);
  await pick(
    page,
    ["a.txt", "b.txt"].map((name) => ({ name, mimeType: "text/plain", buffer: bytes(name) })),
  );
  await tray(page).getByText("2 uploads failed").waitFor();
  await accept();
  await tray(page).getByRole("button", { name: "Retry all" }).click();
  await tray(page).getByText("2 uploads complete").waitFor();
  expect((await account.list()).map(({ name }) => name)).toEqual(["a.txt", "b.txt"]);
});

test("file that cannot be read fails and says why", async ({ page }) => {
  const account = await Account.create();
  const source = await makeRandomFile("film.mov", MIB);
  try {
    await openFiles(page, account);
    await pickThenChange(page, source.path);
    await tray(page).getByText("1 upload failed").waitFor();
    await tray(page)
      .getByText(/cannot be read|changed/)
      .waitFor();
    expect(await account.list()).toEqual([]);
  } finally {
    await source.remove();
  }
});

/** Choose a file whose content has changed since, as one that a program writes. */
async function pickThenChange(page: Page, path: string): Promise<void> {
  const input = page.locator("[data-testid=upload-files]");
  await input.evaluate((element) => {
    // Keeps the choice until the test has changed the file.
    element.addEventListener("change", (event) => event.isTrusted && event.stopImmediatePropagation(), {
      capture: true,
      once: true,
    });
  });
  await input.setInputFiles(path);
  // The first read fixes what the browser takes for the content.
  await input.evaluate((element: HTMLInputElement) => element.files?.[0]?.slice(0, 1).text());
  await writeFile(path, "other content");
  await input.dispatchEvent("change");
}

test("upload waits without a network, says so, and goes on by itself when it is back", async ({ page, context }) => {
  const account = await Account.create();
  const source = await makeRandomFile("film.mov", 24 * MIB);
  try {
    await openFiles(page, account);
    const speedUp = await slowDown(page, 2 * MIB);
    await pick(page, source.path);
    await tray(page).getByRole("button", { name: "Pause film.mov" }).click();
    await tray(page).getByText("1 upload paused").waitFor();
    await speedUp();
    await context.setOffline(true);
    await tray(page).getByRole("button", { name: "Resume film.mov" }).click();
    await tray(page).getByText("The uploads go on by themselves").waitFor();
    expect(await account.list()).toEqual([]);
    await context.setOffline(false);
    await tray(page).getByText("1 upload complete").waitFor();
    expect(await account.list()).toMatchObject([{ name: "film.mov", fingerprint: source.sha256 }]);
  } finally {
    await source.remove();
  }
});

test("tray covers no buttons, open or closed, wide or narrow", async ({ page }) => {
  const account = await Account.create();
  for (let number = 1; number <= 20; number++) await account.upload(`note ${number}.txt`, bytes("note"));
  await openFiles(page, account);
  await pick(page, { name: "z.txt", mimeType: "text/plain", buffer: bytes("z") });
  await tray(page).getByText("1 upload complete").waitFor();
  const last = page.getByRole("row", { name: "z.txt", exact: true });
  for (const width of [1440, 390]) {
    await page.setViewportSize({ width, height: 700 });
    for (const button of ["Show the list of uploads", "Hide the list of uploads"]) {
      await page.getByRole("row", { name: "note 1.txt", exact: true }).focus();
      await page.keyboard.press("End");
      await last.getByRole("button", { name: "Actions for z.txt" }).click(); // fails where something covers it
      await page.getByRole("menu").waitFor();
      await page.keyboard.press("Escape");
      await page.getByRole("menu").waitFor({ state: "detached" });
      await page.keyboard.press("Home");
      await tray(page).getByRole("button", { name: button }).click();
    }
  }
});

test("files of the clipboard are uploaded to the folder that is shown", async ({ page }) => {
  const account = await Account.create();
  await openFiles(page, account);
  await page.evaluate(() => {
    const clipboardData = new DataTransfer();
    clipboardData.items.add(new File(["screenshot"], "screenshot.png", { type: "image/png" }));
    document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true }));
  });
  await page.getByRole("row", { name: "screenshot.png", exact: true }).waitFor();
  expect(await account.list()).toMatchObject([{ name: "screenshot.png", size_bytes: 10 }]);
});

/** The handle of a folder leaves out all but the first. */
const NAMES = ["Crème 写真.txt", "👩‍👩‍👧‍👦 family 🎉.txt", "100% #1 & more?.txt", "shortcut.lnk", "dot at the end."];

test.for(["dropped", "chosen"])("%s folder arrives whole, whatever its files are called", async (way, { page }) => {
  const account = await Account.create();
  const parent = await mkdtemp(join(tmpdir(), "dropbox-api-e2e-app-"));
  const folder = join(parent, "Ferien 🏖️ à la mer");
  try {
    await mkdir(folder);
    for (const name of NAMES) await writeFile(join(folder, name), name);
    await openFiles(page, account);
    if (way === "dropped") await drop(page, [folder]);
    else await page.setInputFiles("[data-testid=upload-folder]", folder);
    await tray(page).getByText(`${NAMES.length} uploads complete`).waitFor();
    const [made] = await account.list();
    expect((await account.list(made)).map(({ name }) => name).sort()).toEqual([...NAMES].sort());
  } finally {
    await rm(parent, { recursive: true });
  }
});

test("files that are dragged beside the list are refused, and leave the page as it is", async ({ page }) => {
  await openFiles(page, await Account.create());
  const isHandled = await page.evaluate(() => {
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File(["a"], "a.txt"));
    const fire = (type: string) => {
      const event = new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true });
      document.querySelector("header")?.dispatchEvent(event);
      return event.defaultPrevented; // else the browser opens the file
    };
    return [fire("dragover"), fire("drop")];
  });
  expect(isHandled).toEqual([true, true]);
});
