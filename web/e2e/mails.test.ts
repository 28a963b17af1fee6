// The pages that mails link to, without script.

import { expect } from "vitest";
import { Account, server } from "./support/account.ts";
import { waitForMailedLink } from "./support/mails.ts";
import { openTab, withoutScript } from "./support/test.ts";

withoutScript("address is confirmed by the page that its mail links to", async ({ page }) => {
  const account = await Account.create();
  const link = await waitForMailedLink(account.email, "verify-email");
  expect(link).toContain(server);
  await page.goto(link);
  expect(await isConfirmed(account)).toBe(false);
  await page.getByRole("button", { name: "Confirm your address" }).click();
  await page.getByRole("heading", { name: "Your address is confirmed" }).waitFor();
  expect(await isConfirmed(account)).toBe(true);
});

async function isConfirmed(account: Account): Promise<boolean> {
  return (await account.call<{ email_verified_at: string | null }>("GET", "/v1/me")).email_verified_at !== null;
}

withoutScript("forgotten password is replaced by the page that its mail links to", async ({ page, browser }) => {
  const account = await Account.create();
  await account.call("POST", "/v1/auth/reset-password/request", { email: account.email });
  await page.goto(await waitForMailedLink(account.email, "reset-password"));
  await page.getByLabel("New password").fill("another horse battery");
  await page.getByRole("button", { name: "Set a new password" }).click();
  await page.getByRole("heading", { name: "Your password is set" }).waitFor();

  const tab = await openTab(await browser.newContext());
  const signIn = (password: string) =>
    tab.evaluate(([email, password]) => window.client.signIn(email, password), [account.email, password] as const);
  await expect(signIn(account.password)).rejects.toThrow("401 invalid-credentials");
  await signIn("another horse battery");
});

withoutScript("address is changed, and taken back, by the pages that mails link to", async ({ page }) => {
  const account = await Account.create();
  await page.goto(await waitForMailedLink(account.email, "verify-email"));
  await page.getByRole("button", { name: "Confirm your address" }).click();
  await page.getByRole("heading", { name: "Your address is confirmed" }).waitFor();

  const next = `next.${account.email}`;
  await account.call("POST", "/v1/me/email", { email: next, password: account.password });
  await page.goto(await waitForMailedLink(next, "change-email"));
  await page.getByRole("button", { name: "Confirm your new address" }).click();
  await page.getByRole("heading", { name: "Your account has its new address" }).waitFor();
  expect((await account.call<{ email: string }>("GET", "/v1/me")).email).toBe(next);

  await page.goto(await waitForMailedLink(account.email, "undo-email"));
  await page.getByLabel("New password").fill("another horse battery");
  await page.getByRole("button", { name: "Undo the change of your address" }).click();
  await page.getByRole("heading", { name: "Your account has its address back" }).waitFor();
  await expect(account.call("GET", "/v1/me")).rejects.toThrow("401");
});
