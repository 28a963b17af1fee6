// The pages of links with their script: uploads that continue, previews, passwords.

import { randomBytes } from "node:crypto";
import type { Page } from "playwright-core";
import { expect } from "vitest";
import { watchWire } from "../../clients/js/e2e/support/uploader.ts";
import { Account, type Link, type RemoteFile, server } from "./support/account.ts";
import { expectNoViolations } from "./support/app.ts";
import { MIB, makeRandomFile } from "./support/files.ts";
import { makePhoto } from "./support/media.ts";
import { test } from "./support/test.ts";

const PASSWORD = "open sesame";

test("upload to a link with a password continues after a reload half-way, when the file is picked again", async ({
  page,
}) => {
  const account = await Account.create();
  const folder = await account.createFolder("Inbox");
  const link = await account.createLink(folder, { mode: "upload", password: PASSWORD });
  const source = await makeRandomFile("film.mov", 96 * MIB);
  const secrets = watchSecrets(page);
  try {
    await openLink(page, link, PASSWORD);
    await waitForScript(page);
    const wire = watchWire(page);
    await page.setInputFiles("#file", source.path);
    await pauseWhileSending(page);
    await page.getByText(/ · paused$/).waitFor();
    await page.reload();
    await page.getByText("Choose this file again").waitFor();
    await page.setInputFiles("#file", source.path);
    await page.getByRole("heading", { name: "1 file has arrived" }).waitFor();
    const [file] = await account.list(folder);
    expect(file).toMatchObject({ name: "film.mov", fingerprint: source.sha256 });
    expect(wire.stored.toSorted()).toEqual([...new Set(wire.stored)].toSorted());
    expect(wire.apiBytes).toBeLessThan(100_000);
    expect(wire.errors).toEqual([]);
    expect(secrets).toEqual({ passwords: 1, passes: expect.any(Number) });
    expect(secrets.passes).toBeGreaterThan(0);
  } finally {
    await source.remove();
  }
});

test("upload whose link is revoked half-way fails and says so", async ({ page }) => {
  const account = await Account.create();
  const folder = await account.createFolder("Inbox");
  const link = await account.createLink(folder, { mode: "upload" });
  const source = await makeRandomFile("film.mov", 48 * MIB);
  try {
    await openLink(page, link);
    await waitForScript(page);
    await page.setInputFiles("#file", source.path);
    await pauseWhileSending(page);
    await page.getByText(/ · paused$/).waitFor();
    await account.call("DELETE", `/v1/links/${link.id}`);
    await page.getByRole("button", { name: "Resume film.mov" }).click();
    await page.getByText("This link does not work any more. Ask for a new one.").waitFor();
    await page.getByRole("button", { name: "Remove from the list: film.mov" }).click();
    await page.getByText("film.mov").waitFor({ state: "detached" });
    expect(await account.list(folder)).toEqual([]);
  } finally {
    await source.remove();
  }
});

test("link whose password has changed asks for it again when files are sent", async ({ page }) => {
  const account = await Account.create();
  const folder = await account.createFolder("Inbox");
  const link = await account.createLink(folder, { mode: "upload", password: PASSWORD });
  await openLink(page, link, PASSWORD);
  await waitForScript(page);
  await account.call("PATCH", `/v1/links/${link.id}`, { password: "another one" });
  await page.setInputFiles("#file", { name: "a.txt", mimeType: "text/plain", buffer: randomBytes(1000) });
  const dialog = page.getByRole("dialog", { name: "Enter the password again" });
  await dialog.getByLabel("Password").fill(PASSWORD);
  await dialog.getByRole("button", { name: "Continue" }).click();
  await dialog.getByText("That was not the password.").waitFor();
  await dialog.getByLabel("Password").fill("another one");
  await dialog.getByRole("button", { name: "Continue" }).click();
  await page.getByRole("heading", { name: "1 file has arrived" }).waitFor();
  expect(await account.list(folder)).toMatchObject([{ name: "a.txt", size_bytes: 1000 }]);
});

test("folder of a link with a password shows its pictures with the next and the previous one", async ({
  page,
  context,
}) => {
  const account = await Account.create();
  const folder = await account.createFolder("Holidays");
  for (const name of ["a.jpg", "b.jpg"]) await account.upload(name, await makePhoto(context, name), folder);
  await account.upload("c.bin", randomBytes(10), folder);
  const link = await account.createLink(folder, { mode: "view", password: PASSWORD });
  const secrets = watchSecrets(page);
  await openLink(page, link, PASSWORD);
  await waitForPreviews(page);
  await page.getByRole("link", { name: "View a.jpg" }).click();
  await waitForPicture(page, "a.jpg");
  expect(await page.getByRole("button", { name: "Previous file" }).isVisible()).toBe(false);
  await page.keyboard.press("ArrowRight");
  await waitForPicture(page, "b.jpg");
  await page.getByRole("button", { name: "Previous file" }).click();
  await waitForPicture(page, "a.jpg");
  await page.reload();
  await waitForPicture(page, "a.jpg");
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "hidden" });
  await page.getByRole("link", { name: "View b.jpg" }).click();
  await waitForPicture(page, "b.jpg");
  await page.goBack();
  await page.getByRole("dialog").waitFor({ state: "hidden" });
  expect(await page.evaluate(() => document.activeElement?.textContent)).toContain("View b.jpg");
  expect(secrets.passwords).toBe(1);
});

/** Long, and without a place to break it. */
const LONG_NAME = "Quarterly_report_of_the_northern_region_with_all_appendices_2026.jpg";

test("pages of links have no violation of WCAG and fit on narrow and wide screens, in light and dark", async ({
  page,
  context,
}) => {
  const account = await Account.create();
  const folder = await account.createFolder("Holidays at the sea with the whole family");
  await account.upload(LONG_NAME, await makePhoto(context, "sea"), folder);
  const file = await account.upload("plan.bin", randomBytes(10), folder);
  const inbox = await account.createFolder("Inbox");
  const gallery = await account.createLink(folder, { mode: "download" });
  const guarded = await account.createLink(file, { mode: "view", password: PASSWORD });

  await page.goto(`${server}/s/${"x".repeat(43)}`);
  await page.getByRole("heading", { name: "This link does not work any more" }).waitFor();
  await expectAccessible(page);

  await openLink(page, guarded, "wrong");
  await page.getByRole("alert").waitFor();
  await expectAccessible(page);
  await openLink(page, guarded, PASSWORD);
  await page.getByText("the link does not allow downloads").waitFor();
  await expectAccessible(page);

  await openLink(page, await account.createLink(inbox, { mode: "upload" }));
  await waitForScript(page);
  await expectAccessible(page);
  const files = ["a.txt", LONG_NAME].map((name) => ({ name, mimeType: "text/plain", buffer: randomBytes(1000) }));
  await context.setOffline(true);
  await page.setInputFiles("#file", files);
  await page.getByText("no network").first().waitFor();
  await expectAccessible(page);
  await context.setOffline(false);
  await page.getByRole("heading", { name: "2 files have arrived" }).waitFor();
  await expectAccessible(page);

  await expect.poll(() => hasThumbnail(account, folder), { timeout: 240_000 }).toBe(true); // the worker may be busy
  await page.goto(server + gallery.url_path);
  await page.locator("img.thumbnail").waitFor();
  await expectAccessible(page);
  await waitForPreviews(page);
  await page.getByRole("link", { name: `View ${LONG_NAME}` }).click();
  await waitForPicture(page, LONG_NAME);
  await expectAccessible(page);
});

async function hasThumbnail(account: Account, folder: RemoteFile): Promise<boolean> {
  const list = `/v1/files?parent_id=${folder.id}&thumbnails=true`;
  const { items } = await account.call<{ items: { thumbnails: object | null }[] }>("GET", list);
  return items.some(({ thumbnails }) => thumbnails !== null);
}

/** Let axe check the page at three widths, and check that nothing is wider than the screen. */
async function expectAccessible(page: Page): Promise<void> {
  for (const width of [1440, 390, 320]) {
    await page.setViewportSize({ width, height: 800 });
    await expectNoViolations(page);
    expect(await page.evaluate(() => document.documentElement.scrollWidth), page.url()).toBe(width);
  }
}

async function openLink(page: Page, link: Link, password?: string): Promise<void> {
  await page.goto(server + link.url_path);
  if (password === undefined) return;
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Open" }).click();
}

/** Wait until the script has put its own input where the form was. */
async function waitForScript(page: Page): Promise<void> {
  await page.getByRole("button", { name: "Choose files" }).waitFor();
}

/** Wait until the script opens files in the page; before that, their links lead to the store. */
async function waitForPreviews(page: Page): Promise<void> {
  await page.locator("dialog.preview").waitFor({ state: "attached" });
}

/** Count the requests that carry the password of the link, and those that carry a pass. */
function watchSecrets(page: Page): { passwords: number; passes: number } {
  const secrets = { passwords: 0, passes: 0 };
  page.on("request", (request) => {
    const { "x-link-password": password, "x-link-pass": pass } = request.headers();
    if (password !== undefined || /open[+ ]sesame/.test(request.postData() ?? "")) secrets.passwords += 1;
    if (pass !== undefined) secrets.passes += 1;
  });
  return secrets;
}

/** Pause all as soon as some bytes are sent, in the page itself: an idle machine sends the rest in no time. */
async function pauseWhileSending(page: Page): Promise<void> {
  await page.evaluate(
    () =>
      new Promise<void>((resolve) => {
        const pause = () => {
          const isSending = [...document.querySelectorAll(".uploads .facts")].some((facts) =>
            /^[1-9].* of /.test(facts.textContent ?? ""),
          );
          const button = [...document.querySelectorAll("button")].find(
            ({ textContent }) => textContent === "Pause all",
          );
          if (!isSending || !button) return;
          observer.disconnect();
          button.click();
          resolve();
        };
        const observer = new MutationObserver(pause);
        observer.observe(document.body, { subtree: true, childList: true, characterData: true });
        pause();
      }),
  );
}

async function waitForPicture(page: Page, name: string): Promise<void> {
  const picture = page.getByRole("dialog").getByRole("img", { name });
  await picture.waitFor();
  await expect
    .poll(() => picture.evaluate((image: HTMLImageElement) => image.naturalWidth), { timeout: 60_000 })
    .toBe(800);
}
