// Uploads while the session ends: by a sign-out, and elsewhere.

import { randomUUID } from "node:crypto";
import type { Page } from "playwright-core";
import { expect, inject } from "vitest";
import { Account, server } from "./support/account.ts";
import { expectNoViolations, poll, signIn, test } from "./support/app.ts";
import { MIB, makeRandomFile } from "./support/files.ts";
import { slowDown } from "./support/network.ts";
import { collectErrors } from "./support/test.ts";

/** Return what the browser keeps for continuing uploads. */
function readKept(page: Page): Promise<unknown[]> {
  return page.evaluate(async () => {
    const promisify = <Result>(request: IDBRequest<Result>) =>
      new Promise<Result>((resolve, reject) => {
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => reject(request.error);
      });
    const database = await promisify(indexedDB.open("dropbox-api-resume", 1));
    return promisify(database.transaction("uploads").objectStore("uploads").getAll());
  });
}

const openMenu = (page: Page) => page.getByRole("button", { name: "your account" }).click();

test("sign-out asks about running uploads, cancels them, and leaves nothing of the user in any tab", async ({
  page,
  context,
}) => {
  const [account, other] = [await Account.create(), await Account.create()];
  const films = [await makeRandomFile("first.bin", 24 * MIB), await makeRandomFile("second.bin", 24 * MIB)] as const;
  const tab = await context.newPage();
  const errors = collectErrors(tab);
  const prompts: string[] = [];
  tab.on("dialog", (dialog) => {
    prompts.push(dialog.type());
    void dialog.dismiss();
  });
  try {
    await account.createFolder("Private");
    await signIn(page, account);
    await tab.goto(`${server}/files`);
    for (const [each, film] of [[page, films[0]] as const, [tab, films[1]] as const]) {
      await each.getByRole("searchbox").click(); // a click allows the page to ask before it closes
      await slowDown(each, MIB / 2);
      await each.setInputFiles("[data-testid=upload-files]", film.path);
    }
    await page.getByText("Uploading: 0 of 2 done").waitFor();
    await poll(async () => (await readKept(page)).length).toBe(2);

    await openMenu(page);
    await page.getByRole("menuitem", { name: "Sign out" }).click();
    const dialog = page.getByRole("dialog", { name: "Cancel the uploads?" });
    await dialog.getByText("2 uploads are not complete").waitFor();
    await expectNoViolations(page);
    await dialog.getByRole("button", { name: "Stay signed in" }).click();
    await dialog.waitFor({ state: "detached" });
    await page.getByText("Uploading: 0 of 2 done").waitFor();

    await openMenu(page);
    await page.getByRole("menuitem", { name: "Sign out" }).click();
    await dialog.getByRole("button", { name: "Cancel uploads and sign out" }).click();
    for (const each of [page, tab]) await each.getByRole("heading", { name: "Sign in" }).waitFor();
    expect(await readKept(page)).toEqual([]);
    const { items } = await account.call<{ items: { state: string }[] }>("GET", "/v1/uploads");
    expect(items.map(({ state }) => state)).toContain("aborted"); // that of the tab that signs out, at least

    await signIn(page, other);
    await tab.goto(`${server}/files`);
    for (const each of [page, tab]) {
      await each.getByText("This folder is empty").waitFor();
      expect(await each.getByText(/Private|first.bin|second.bin/).count()).toBe(0);
    }
    expect([prompts, errors]).toEqual([[], []]);
  } finally {
    for (const film of films) await film.remove();
  }
});

test("upload whose session ended goes on when its user signs in again", async ({ page }) => {
  const account = await Account.create();
  const film = await makeRandomFile("film.bin", 24 * MIB);
  try {
    await signIn(page, account);
    const speedUp = await slowDown(page, MIB / 2);
    await page.setInputFiles("[data-testid=upload-files]", film.path);
    await page.getByText("Uploading: 0 of 1 done").waitFor();
    await account.call("DELETE", "/v1/me/sessions");
    const dialog = page.getByRole("dialog", { name: "Your session has ended" });
    await dialog.waitFor();
    await page.getByText("Sign in to continue the uploads").waitFor();
    await speedUp();
    await dialog.getByLabel("Password", { exact: true }).fill(account.password);
    await dialog.getByRole("button", { name: "Sign in", exact: true }).click();
    await page.getByText("1 upload complete", { exact: true }).first().waitFor();
    expect((await account.list()).map(({ fingerprint }) => fingerprint)).toEqual([film.sha256]);
  } finally {
    await film.remove();
  }
});

test("session ends with the browser where the user does not stay signed in", async ({ page, context }) => {
  const account = await Account.create();
  const readExpiry = async () => {
    const cookies = (await context.cookies()).filter(({ name }) => name.includes("session"));
    return cookies.map(({ expires }) => expires > 0);
  };
  const leave = async () => {
    await openMenu(page);
    await page.getByRole("menuitem", { name: "Sign out" }).click();
    await page.getByLabel("Stay signed in").uncheck();
  };
  await signIn(page, account);
  expect(await readExpiry()).toEqual([true]);
  await leave();
  await page.getByLabel("Email").fill(account.email);
  await page.getByLabel(/^Password/).fill(account.password);
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
  await page.waitForURL(/\/files/);
  expect(await readExpiry()).toEqual([false]);

  const subject = randomUUID();
  const claims = JSON.stringify({ email: `${subject}@example.org`, email_verified: true });
  const headers = { "Content-Type": "application/json" };
  await fetch(`${inject("provider")}/users/${subject}`, { method: "PUT", headers, body: claims });
  await leave();
  await page.getByRole("button", { name: "Single sign-on" }).click();
  await page.getByPlaceholder("sub").fill(subject);
  await page.getByRole("button", { name: "Authorize" }).click();
  await page.waitForURL(/\/files/);
  expect(await readExpiry()).toEqual([false]);
});
