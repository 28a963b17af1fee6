// Sessions in cookies, with the browser's own rules for cookies, tabs and crashes.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { expect } from "vitest";
import { Account, server } from "./support/account.ts";
import { killBrowser, OPTIONS, openProfile } from "./support/chromium.ts";
import { openForeignSite } from "./support/foreign.ts";
import { openTab, readOwnAddress, signIn, test } from "./support/test.ts";

test("session of four tabs that refresh at once goes on in all", async ({ app, context }) => {
  const account = await Account.create();
  await signIn(app, account);
  const tabs = [app, await openTab(context), await openTab(context), await openTab(context)];
  for (let round = 0; round < 3; round++) {
    const tokens = await Promise.all(tabs.map((tab) => tab.evaluate(() => window.client.refresh())));
    expect(tokens.map(({ refresh_token }) => refresh_token)).toEqual([null, null, null, null]);
  }
  expect(new Set(await Promise.all(tabs.map(readOwnAddress)))).toEqual(new Set([account.email]));
});

test("session cookie is hidden from scripts and goes only to the routes of sign-in", async ({ app, context }) => {
  await signIn(app, await Account.create());
  expect(await context.cookies()).toEqual([
    expect.objectContaining({
      name: expect.stringMatching(/^dbx-session-\d+$/),
      path: "/v1/auth",
      httpOnly: true,
      sameSite: "Strict",
    }),
  ]);
  expect(await app.evaluate(() => document.cookie)).toBe("");
});

test("session goes on after a reload and ends in all tabs by signing out", async ({ app, context }) => {
  const account = await Account.create();
  await signIn(app, account);
  await app.reload();
  await app.evaluate(() => window.client.refresh());
  expect(await readOwnAddress(app)).toBe(account.email);

  const other = await openTab(context);
  await other.evaluate(() => window.client.refresh());
  await app.evaluate(() => window.client.signOut());
  await expect(other.evaluate(() => window.client.refresh())).rejects.toThrow("204, there is no session");
  await expect(readOwnAddress(other)).rejects.toThrow("401");
  expect(await context.cookies()).toEqual([]);
});

test("page of another origin neither uses nor replaces the session", async ({ app, context }) => {
  const [account, attacker] = [await Account.create(), await Account.create()];
  await signIn(app, account);
  const [cookie] = await context.cookies();
  const site = await openForeignSite();
  try {
    const form = { grant_type: "password", username: attacker.email, password: attacker.password };
    for (const [path, fields, status] of [
      ["token", form, 200], // tokens in the answer, which the page cannot read; no cookie
      ["refresh", {}, 422],
      ["logout", {}, 422],
    ] as const) {
      const url = `${server}/v1/auth/${path}`;
      const foreign = await context.newPage();
      await foreign.goto(site.url);
      const call = foreign.evaluate(
        (url) => fetch(url, { method: "POST", headers: { "X-Session": "cookie" }, credentials: "include" }),
        url,
      );
      await expect(call).rejects.toThrow("Failed to fetch");
      const answer = foreign.waitForResponse(url);
      await foreign.evaluate(submitForm, [url, fields] as const);
      expect([path, (await answer).status()]).toEqual([path, status]);
    }
  } finally {
    site.close();
  }
  expect(await context.cookies()).toEqual([cookie]);
  await app.evaluate(() => window.client.refresh());
  expect(await readOwnAddress(app)).toBe(account.email);
});

/** Submit a form to another origin, as a page may do without asking. */
function submitForm([action, fields]: readonly [string, Record<string, string>]): void {
  const form = Object.assign(document.createElement("form"), { action, method: "post" });
  for (const [name, value] of Object.entries(fields)) {
    form.append(Object.assign(document.createElement("input"), { name, value }));
  }
  document.body.append(form);
  form.submit();
}

test("session of a killed browser goes on when it is started again", async () => {
  const profile = await mkdtemp(join(tmpdir(), "dropbox-api-e2e-profile-"));
  try {
    const account = await Account.create();
    const first = await openProfile(profile);
    await signIn(await openTab(first), account);
    await first.close(); // writes the cookie to disk

    const second = await openProfile(profile);
    const page = await openTab(second);
    await page.evaluate(() => window.client.refresh());
    await killBrowser(profile, second); // perhaps with the new cookie in memory only

    const third = await openProfile(profile);
    const restored = await openTab(third);
    await restored.evaluate(() => window.client.refresh());
    expect(await readOwnAddress(restored)).toBe(account.email);
    await third.close();
  } finally {
    await rm(profile, { recursive: true });
  }
});

test("session cookie works for a page over http on a local network", async () => {
  const address = `http://files.lan:${new URL(server).port}`;
  const args = [...(OPTIONS.args ?? []), "--host-resolver-rules=MAP files.lan 127.0.0.1"];
  const browser = await chromium.launch({ ...OPTIONS, args });
  try {
    const account = await Account.create();
    const page = await openTab(await browser.newContext(), address);
    expect(await page.evaluate(() => window.isSecureContext)).toBe(false); // so there is no Sec-Fetch-Site
    await signIn(page, account);
    await page.reload();
    await page.evaluate(() => window.client.refresh());
    expect(await readOwnAddress(page)).toBe(account.email);
  } finally {
    await browser.close();
  }
});
