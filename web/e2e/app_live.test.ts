// Live updates: what happens elsewhere appears in the page, also after the network or the server was away.

import type { Page } from "playwright-core";
import { expect } from "vitest";
import { Account, server } from "./support/account.ts";
import { signIn, test } from "./support/app.ts";
import { openProxy } from "./support/proxy.ts";
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

test("page whose server goes away and comes back recovers without a reload", async ({ browser }) => {
  const account = await Account.create();
  await account.upload("first.txt", Buffer.from("first"));
  const proxy = await openProxy(server);
  const page = await (await browser.newContext()).newPage();
  const errors = collectErrors(page);
  try {
    await signIn(page, account, "/files", proxy.url);
    await page.getByText("first.txt").waitFor();
    proxy.stop();
    await banner(page, "The server does not answer").waitFor();
    await account.upload("second.txt", Buffer.from("second"));
    await proxy.start();
    await banner(page, "The server does not answer").waitFor({ state: "detached" });
    await page.getByText("second.txt").waitFor();
    expect(errors).toEqual([]);
  } finally {
    await page.context().close();
    proxy.stop();
  }
});
