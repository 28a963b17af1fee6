// Live updates: what happens elsewhere appears in the page, also after the network or the server was away.

import type { Page } from "playwright-core";
import { expect } from "vitest";
import { Account, server } from "./support/account.ts";
import { killApi } from "./support/api.ts";
import { signIn, test } from "./support/app.ts";
import { collectErrors } from "./support/test.ts";

const banner = (page: Page, title: string) => page.getByRole("status").getByText(title, { exact: true });

test("file that another program adds, renames and deletes changes the page without a reload", async ({ page }) => {
  const account = await Account.create();
  await account.upload("first.txt", Buffer.from("first"));
  await signIn(page, account, "/files");
  await page.getByText("first.txt").waitFor();
  const added = await account.upload("second.txt", Buffer.from("second"));
  await page.getByText("second.txt").waitFor();
  await account.call("PATCH", `/v1/files/${added.id}`, { name: "renamed.txt" });
  await page.getByText("renamed.txt").waitFor();
  await account.call("DELETE", `/v1/files/${added.id}`);
  await page.getByText("renamed.txt").waitFor({ state: "detached" });
});

test("page without network says so, and shows what changed when the network is back", async ({ context, page }) => {
  const account = await Account.create();
  await account.upload("first.txt", Buffer.from("first"));
  await signIn(page, account, "/files");
  await page.getByText("first.txt").waitFor();
  await context.setOffline(true);
  await banner(page, "You are offline").waitFor();
  await account.upload("second.txt", Buffer.from("second"));
  await context.setOffline(false);
  await banner(page, "You are offline").waitFor({ state: "detached" });
  await page.getByText("second.txt").waitFor();
});

test("page whose server is killed says so, and goes on by itself when it is back", async ({ page }) => {
  const account = await Account.create();
  await account.upload("first.txt", Buffer.from("first"));
  await signIn(page, account, "/files");
  await page.getByText("first.txt").waitFor();
  const start = await killApi();
  try {
    await banner(page, "The server does not answer").waitFor();
  } finally {
    start();
  }
  await banner(page, "The server does not answer").waitFor({ state: "detached" });
  await account.upload("second.txt", Buffer.from("second"));
  await page.getByText("second.txt").waitFor();
});

test("session that is ended elsewhere asks for the password by itself, and the page goes on", async ({ page }) => {
  const account = await Account.create();
  await signIn(page, account, "/files");
  await page.getByRole("button", { name: "Upload", exact: true }).waitFor();
  await account.call("DELETE", "/v1/me/sessions");
  const dialog = page.getByRole("dialog", { name: "Your session has ended" });
  await dialog.getByLabel("Password", { exact: true }).fill(account.password);
  await account.upload("meanwhile.txt", Buffer.from("meanwhile"));
  await dialog.getByRole("button", { name: "Sign in", exact: true }).click();
  await page.getByText("meanwhile.txt").waitFor();
  await account.upload("later.txt", Buffer.from("later"));
  await page.getByText("later.txt").waitFor();
});

test("two tabs follow one stream of events, and one goes on when the other is closed", async ({ context, page }) => {
  const account = await Account.create();
  let streams = 0;
  context.on("request", (request) => {
    if (request.url().includes("/v1/events/stream")) streams += 1;
  });
  await signIn(page, account, "/files");
  await page.getByRole("button", { name: "Upload", exact: true }).waitFor();
  const tab = await context.newPage();
  const errors = collectErrors(tab);
  await tab.goto(`${server}/files`);
  await tab.getByRole("button", { name: "Upload", exact: true }).waitFor();
  await account.upload("first.txt", Buffer.from("first"));
  await page.getByText("first.txt").waitFor();
  await tab.getByText("first.txt").waitFor();
  expect(streams).toBe(1);
  await page.close();
  await account.upload("second.txt", Buffer.from("second"));
  await tab.getByText("second.txt").waitFor();
  expect(errors).toEqual([]);
});
