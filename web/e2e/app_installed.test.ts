// The web app as an app of the device: its manifest, and its service worker.

import type { Page } from "playwright-core";
import { expect } from "vitest";
import { Account, server } from "./support/account.ts";
import { expectNoViolations, poll, signIn, test } from "./support/app.ts";
import { MIB, makeRandomFile } from "./support/files.ts";
import { openForeignSite } from "./support/foreign.ts";
import { slowDown } from "./support/network.ts";

/** Wait until the service worker answers requests. */
async function waitForWorker(page: Page): Promise<void> {
  const isActive = () =>
    page.evaluate(async () => (await navigator.serviceWorker.getRegistration())?.active?.state === "activated");
  await poll(isActive).toBe(true);
}

/** Share a file, as the browser does for another app: with a form. Any site can do the same. */
async function share(page: Page, address: string, name: string, content: string): Promise<void> {
  await page.goto(address);
  await page.evaluate(
    ([action, name, content]) => {
      const files = new DataTransfer();
      files.items.add(new File([content], name));
      const form = document.createElement("form");
      Object.assign(form, { action, method: "POST", enctype: "multipart/form-data" });
      const field = document.createElement("input");
      Object.assign(field, { type: "file", name: "files", files: files.files });
      form.append(field);
      document.body.append(form);
      form.submit();
    },
    [`${server}/share-target`, name, content] as const,
  );
}

test("browser finds everything for installing the app", async ({ page }) => {
  await page.goto(`${server}/sign-in`);
  await waitForWorker(page);
  const devtools = await page.context().newCDPSession(page);
  const { errors, url } = await devtools.send("Page.getAppManifest");
  expect([url, errors]).toEqual([`${server}/manifest.webmanifest`, []]);
  const { installabilityErrors } = await devtools.send("Page.getInstallabilityErrors");
  expect(installabilityErrors.filter(({ errorId }) => errorId !== "in-incognito")).toEqual([]);
});

test("page that is opened without the network says so, and opens by itself with it", async ({ page, context }) => {
  const account = await Account.create();
  await signIn(page, account);
  await waitForWorker(page);
  const stored = await page.evaluate(async () => {
    const requests = await Promise.all((await caches.keys()).map(async (name) => (await caches.open(name)).keys()));
    return requests.flat().map(({ url }) => url);
  });
  expect(stored).toEqual([`${server}/offline.html`]);
  await context.setOffline(true);
  await page.getByText("You are offline").waitFor();
  await page.goto(`${server}/trash`);
  await page.getByRole("heading", { name: "The server cannot be reached" }).waitFor();
  await expectNoViolations(page);
  await page.getByRole("button", { name: "Try again" }).click();
  await page.getByRole("heading", { name: "The server cannot be reached" }).waitFor();
  await context.setOffline(false);
  await page.getByRole("heading", { name: "Trash" }).waitFor();
});

test("shared files wait for the user, who chooses a folder, and belong to that user alone", async ({ page }) => {
  const [account, other] = [await Account.create(), await Account.create()];
  const folder = await account.createFolder("Inbox");
  await signIn(page, account);
  await waitForWorker(page);
  const site = await openForeignSite();
  try {
    await share(page, site.url, "note.txt", "shared text");
    await page.getByRole("heading", { name: "Upload a shared file" }).waitFor();
    await page.getByText("note.txt").waitFor();
    expect((await account.list()).map(({ name }) => name)).toEqual(["Inbox"]);
    await expectNoViolations(page);
    await page.getByRole("button", { name: "Inbox" }).click();
    await page.getByText("No folders here").waitFor();
    await page.getByRole("button", { name: "Upload here" }).click();
    await page.getByRole("row", { name: "note.txt" }).waitFor();
    await poll(async () => (await account.list(folder)).map(({ size_bytes }) => size_bytes)).toEqual([11]);

    await share(page, site.url, "private.txt", "secret");
    await page.getByText("private.txt").waitFor();
    const address = page.url();
    await page.context().clearCookies(); // the session is lost, not ended by a sign-out
    await signIn(page, other);
    await page.goto(address);
    await page.getByRole("heading", { name: "Nothing to upload" }).waitFor();
  } finally {
    site.close();
  }
});

test("new service worker takes over while an upload runs, which goes on", async ({ page }) => {
  const account = await Account.create();
  const film = await makeRandomFile("film.bin", 24 * MIB);
  try {
    await signIn(page, account);
    await waitForWorker(page);
    const speedUp = await slowDown(page, MIB);
    await page.setInputFiles("[data-testid=upload-files]", film.path);
    await page.getByText("Uploading: 0 of 1 done").waitFor();
    await page.evaluate(async () => {
      document.title = "not reloaded";
      const registration = await navigator.serviceWorker.register("/sw.js?next");
      const [worker] = [registration.installing ?? registration.waiting ?? registration.active];
      await new Promise<void>((resolve) => {
        const check = () => worker?.state === "activated" && resolve();
        worker?.addEventListener("statechange", check);
        check();
      });
    });
    await page.getByText("Uploading: 0 of 1 done").waitFor();
    await speedUp();
    await page.getByText("1 upload complete", { exact: true }).first().waitFor();
    expect(await page.title()).toBe("not reloaded");
    expect((await account.list()).map(({ fingerprint }) => fingerprint)).toEqual([film.sha256]);
  } finally {
    await film.remove();
  }
});

test("page of an older build offers the new one where its parts are gone", async ({ page }) => {
  const account = await Account.create();
  await signIn(page, account);
  await page.getByRole("button", { name: "Upload", exact: true }).waitFor();
  const devtools = await page.context().newCDPSession(page);
  await devtools.send("Network.enable");
  await devtools.send("Network.setBlockedURLs", { urls: ["*/assets/hashed/TrashPage-*"] });
  await page.getByRole("link", { name: "Trash" }).click();
  await page.getByText("The server has a new version of this app").first().waitFor();
  await devtools.send("Network.setBlockedURLs", { urls: [] });
  await page.getByRole("button", { name: "Reload the page" }).first().click();
  await page.getByRole("heading", { name: "Trash" }).waitFor();
});
