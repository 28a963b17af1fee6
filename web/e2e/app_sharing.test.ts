// Sharing with people and by links, as two people see it.

import type { Page } from "playwright-core";
import { expect } from "vitest";
import { Account, server } from "./support/account.ts";
import { poll, signIn, test } from "./support/app.ts";
import { confirmAddress } from "./support/mails.ts";
import { makePhoto } from "./support/media.ts";
import { collectErrors } from "./support/test.ts";

test("shared folder appears in another browser, and a change of the role takes effect, without a reload", async ({
  browser,
  page,
}) => {
  const [owner, other] = [await Account.create(), await createConfirmedAccount()];
  const folder = await owner.createFolder("Holidays");
  const context = await browser.newContext();
  const otherPage = await context.newPage();
  const errors = collectErrors(otherPage);
  await signIn(otherPage, other, "/shared");
  await otherPage.getByText("Nothing is shared with you").waitFor();

  await signIn(page, owner, `/files?share=${folder.id}`);
  const dialog = page.getByRole("dialog", { name: "Share “Holidays”" });
  await dialog.getByLabel("Add by email address").fill(other.email);
  await dialog.getByRole("button", { name: "Share", exact: true }).click();
  const role = dialog.getByLabel(`Access of ${other.email}`, { exact: true });
  await role.waitFor();

  const row = otherPage.getByRole("listitem").filter({ hasText: "Holidays" });
  await row.getByText("Can view").waitFor();
  await row.getByRole("link", { name: "Holidays" }).click();
  await otherPage.getByText("This folder is empty").waitFor();
  const dataTransfer = await otherPage.evaluateHandle(() => {
    const transfer = new DataTransfer();
    transfer.items.add(new File(["sun"], "sun.txt"));
    return transfer;
  });
  await otherPage.getByText("This folder is empty").dispatchEvent("dragover", { dataTransfer });
  await otherPage.getByText("You can only view Holidays").waitFor();
  await otherPage.goBack();
  await role.selectOption("Can edit");
  await row.getByText("Can edit").waitFor();
  expect(await other.call("POST", "/v1/folders", { name: "Beach", parent_id: folder.id })).toMatchObject({
    name: "Beach",
  });

  await dialog.getByRole("button", { name: `Remove access of ${other.email}` }).click();
  await page.getByRole("dialog", { name: "Remove access?" }).getByRole("button", { name: "Remove access" }).click();
  await otherPage.getByText("Nothing is shared with you").waitFor();
  expect(errors).toEqual([]);
  await context.close();
});

test("link with a password and an expiry is copied in one click and opens without a session", async ({
  browser,
  context,
  page,
}) => {
  const account = await Account.create();
  const folder = await account.createFolder("Plans");
  await account.upload("garden.txt", Buffer.from("roses"), folder);
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  await signIn(page, account, `/files?share=${folder.id}`);
  const dialog = page.getByRole("dialog", { name: "Share “Plans”" });
  await dialog.getByRole("button", { name: "Create a link" }).click();
  await dialog.getByLabel("Password (optional)").fill("open sesame");
  await dialog.getByLabel("Expires").selectOption("7");
  await dialog.getByRole("button", { name: "Create and copy link" }).click();
  await page.getByText("Link created and copied").waitFor();
  await page.evaluate(() => navigator.clipboard.writeText(""));
  await dialog.getByRole("button", { name: "Copy link" }).click();
  await dialog.getByRole("button", { name: "Copied" }).waitFor();
  const address = await page.evaluate(() => navigator.clipboard.readText());
  await dialog.getByText(/^Until /).waitFor();

  const visitor = await browser.newContext();
  const visit = await visitor.newPage();
  await visit.goto(address);
  await visit.getByLabel("Password").fill("open sesame");
  await visit.getByRole("button", { name: "Open" }).click();
  await visit.getByRole("heading", { name: "Plans" }).waitFor();
  await visit.getByText("garden.txt").first().waitFor();
  await visitor.close();

  await dialog.getByRole("button", { name: "Revoke link" }).click();
  await page.getByRole("dialog", { name: "Revoke this link?" }).getByRole("button", { name: "Revoke link" }).click();
  await page.getByText("Link revoked").waitFor();
  expect((await fetch(address)).status).toBe(404);
});

test("folder of photos is shared by a link that shows them, and receives files by another one", async ({
  browser,
  context,
  page,
}) => {
  const account = await Account.create();
  const folder = await account.createFolder("Party");
  await account.upload("cake.jpg", await makePhoto(context, "cake"), folder);
  await signIn(page, account, `/files/${folder.id}?share=${folder.id}`);
  const dialog = page.getByRole("dialog", { name: "Share “Party”" });
  const visitor = await browser.newContext();
  const visit = await visitor.newPage();
  const errors = collectErrors(visit);

  await visit.goto(await createLink(page, "View only"));
  await visit.getByRole("link", { name: "View cake.jpg" }).click();
  const photo = visit.getByRole("dialog").getByRole("img", { name: "cake.jpg" });
  await poll(() => photo.evaluate((image: HTMLImageElement) => image.naturalWidth)).toBe(800);

  await visit.goto(await createLink(page, "Receive files"));
  await visit.getByRole("button", { name: "Choose files" }).waitFor();
  await dialog.getByRole("button", { name: "Close" }).click();
  await dialog.waitFor({ state: "detached" });
  await visit.setInputFiles("#file", { name: "dance.txt", mimeType: "text/plain", buffer: Buffer.from("waltz") });
  await visit.getByRole("heading", { name: "1 file has arrived" }).waitFor();
  await page.getByRole("row", { name: "dance.txt", exact: true }).waitFor();
  expect(errors).toEqual([]);
  await visitor.close();
});

/** Create a link in the dialog, and return its address. */
async function createLink(page: Page, mode: string): Promise<string> {
  const dialog = page.getByRole("dialog");
  const addresses = dialog.getByRole("textbox", { name: "Address of the link" });
  const before = await addresses.evaluateAll((inputs) => inputs.map((input) => (input as HTMLInputElement).value));
  await dialog.getByRole("button", { name: "Create a link" }).click();
  await dialog.getByText(mode, { exact: true }).click();
  await dialog.getByRole("button", { name: "Create and copy link" }).click();
  await poll(() => addresses.count()).toBe(before.length + 1);
  const after = await addresses.evaluateAll((inputs) => inputs.map((input) => (input as HTMLInputElement).value));
  return after.find((address) => !before.includes(address)) ?? "";
}

test("upload that arrives through a link is listed and stopped", async ({ page }) => {
  const account = await Account.create();
  const folder = await account.createFolder("Inbox");
  const { token } = await account.createLink(folder, { mode: "upload" });
  await beginUpload(token);
  await signIn(page, account, `/files?share=${folder.id}`);
  await page.getByRole("button", { name: "Stop upload of film.mov" }).click();
  await page.getByRole("dialog", { name: "Stop this upload?" }).getByRole("button", { name: "Stop upload" }).click();
  await page.getByText("film.mov", { exact: true }).waitFor({ state: "detached" });
  await page.getByRole("dialog", { name: "Stop this upload?" }).waitFor({ state: "detached" });
});

async function beginUpload(token: string): Promise<void> {
  const answer = await fetch(`${server}/v1/public/links/${token}/uploads`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({
      secret_sha256: "00".repeat(32),
      client_ref: "1",
      name: "film.mov",
      size_bytes: 100_000_000,
    }),
  });
  expect(answer.status).toBe(201);
}

test("copy of a shared file is saved to the own files", async ({ page }) => {
  const [owner, other] = [await Account.create(), await createConfirmedAccount()];
  const file = await owner.upload("recipe.txt", Buffer.from("flour, water, salt"));
  await owner.call("POST", `/v1/files/${file.id}/grants`, { email: other.email, role: "viewer" });
  await signIn(page, other, "/shared");
  await page.getByRole("button", { name: "Actions for recipe.txt" }).click();
  await page.getByRole("menuitem", { name: "Save a copy" }).click();
  await page.getByText("“recipe.txt” is in your files").waitFor();
  expect(await other.list()).toMatchObject([{ name: "recipe.txt", fingerprint: file.fingerprint }]);
});

test("pages of what is shared and of links show both, and lead to the dialog", async ({ page }) => {
  const account = await Account.create();
  const file = await account.upload("plan.txt", Buffer.from("plan"));
  await account.createLink(file, { mode: "view" });
  await signIn(page, account, "/links");
  await page.getByRole("textbox", { name: "Address of the link" }).waitFor();
  await page.getByRole("link", { name: "Shared by me" }).click();
  await page.getByRole("button", { name: "Manage access to plan.txt" }).click();
  await page.getByRole("dialog", { name: "Share “plan.txt”" }).waitFor();
  await page.goBack();
  await page.getByRole("dialog").waitFor({ state: "detached" });
});

/** Create an account that has confirmed its address: only such an account gets what is shared with the address. */
async function createConfirmedAccount(): Promise<Account> {
  const account = await Account.create();
  await confirmAddress(account);
  return account;
}
