// Signing in and the account, in the web app.

import { randomUUID } from "node:crypto";
import type { Page } from "playwright-core";
import { expect } from "vitest";
import { Account, server } from "./support/account.ts";
import { expectNoViolations, signIn, test } from "./support/app.ts";
import { addAuthenticator } from "./support/authenticator.ts";
import { waitForMailedLink } from "./support/mails.ts";
import { collectErrors } from "./support/test.ts";
import { computeCode } from "./support/totp.ts";

const PHONE = { width: 390, height: 800 };
const DESKTOP = { width: 1440, height: 900 };

/** Let axe check the page at both widths, in light and dark. */
async function expectAccessible(page: Page): Promise<void> {
  for (const size of [PHONE, DESKTOP]) {
    await page.setViewportSize(size);
    await expectNoViolations(page);
  }
}

/** Sign in on the page that shows the form. */
async function fillForm(page: Page, { email, password }: Account): Promise<void> {
  await page.getByLabel("Email address").fill(email);
  await page.getByLabel("Password", { exact: true }).fill(password);
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
}

test("visitor creates an account, confirms the address by mail, and comes back to the page that was asked for", async ({
  page,
  context,
}) => {
  await Account.create(); // a server without accounts shows another page
  const [email, password] = [`${randomUUID()}@example.org`, randomUUID()];
  await page.goto(`${server}/account/security`);
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  expect(new URL(page.url()).searchParams.get("next")).toBe("/account/security");

  await page.getByRole("link", { name: "Create an account" }).click();
  await page.getByRole("button", { name: "Create the account" }).waitFor(); // the form before has an address, too
  await page.getByLabel("Email address").fill(email);
  await page.getByLabel("Password", { exact: true }).fill("password");
  await page.getByRole("button", { name: "Create the account" }).click();
  await page.getByRole("alert").filter({ hasText: "Many people use this password" }).waitFor();
  await page.getByLabel("Password", { exact: true }).fill(password);
  await page.getByRole("button", { name: "Create the account" }).click();
  await page.getByRole("button", { name: "Your account" }).waitFor();

  const banner = page.getByRole("region", { name: "Confirm your address" });
  await banner.waitFor();
  const mail = await context.newPage();
  await mail.goto(await waitForMailedLink(email, "verify-email"));
  await mail.getByRole("button").click();
  await mail.getByText("Your address is confirmed").waitFor();
  await mail.close();
  await page.reload();
  await page.getByRole("button", { name: "Your account" }).waitFor();
  await banner.waitFor({ state: "detached" });

  await page.getByRole("button", { name: "Your account" }).click();
  await page.getByRole("menuitem", { name: "Sign out" }).click();
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  await page.goto(`${server}/account/security`);
  await page.getByLabel("Email address").fill(email);
  await page.getByLabel("Password", { exact: true }).fill(password);
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
  await page.getByRole("heading", { name: "Authenticator app" }).waitFor();
});

test("app and passkey are set up, and each signs in", async ({ page }) => {
  const account = await Account.create();
  await addAuthenticator(page);
  await signIn(page, account, "/account/security");
  await page.getByRole("button", { name: "Set up an app" }).click();
  const dialog = page.getByRole("dialog");
  const secret = (await dialog.locator("pre").textContent()) ?? "";
  await dialog.getByLabel("Six digits").fill(computeCode(secret));
  await dialog.getByRole("button", { name: "Turn on" }).click();
  await page.getByRole("dialog", { name: "Recovery codes" }).waitFor();
  const codes = await page.getByRole("dialog").getByRole("listitem").allTextContents();
  expect(new Set(codes).size).toBe(10);
  await page.getByRole("button", { name: "I have kept them" }).click();

  await page.getByRole("button", { name: "Add a passkey" }).click();
  await page.getByLabel("Name").fill("laptop");
  await page.getByRole("button", { name: "Continue" }).click();
  await page.getByRole("button", { name: "Actions for the passkey laptop" }).waitFor();
  await expectAccessible(page);

  await page.getByRole("button", { name: "Your account" }).click();
  await page.getByRole("menuitem", { name: "Sign out" }).click();
  await fillForm(page, account);
  await page.getByLabel("Code").fill("000000");
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
  await page.getByText("The code is wrong or was used already").waitFor();
  await page.getByLabel("Code").fill(codes[0] ?? "");
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
  await page.getByRole("button", { name: "Your account" }).click();
  await page.getByRole("menuitem", { name: "Sign out" }).click();
  await page.getByRole("button", { name: "Sign in with a passkey" }).click();
  await page.getByRole("button", { name: "Your account" }).waitFor();
});

test("session that was ended elsewhere asks for the password, and the page stays", async ({ page }) => {
  const account = await Account.create();
  await signIn(page, account, "/account/profile");
  const field = page.getByLabel("Name");
  await field.fill("half a name");
  await account.call("DELETE", "/v1/me/sessions");
  await field.press("Enter"); // the dialog may come before, by the stream of events
  const dialog = page.getByRole("dialog", { name: "Your session has ended" });
  await dialog.waitFor();
  await expectAccessible(page);
  await dialog.getByLabel("Password", { exact: true }).fill(account.password);
  await dialog.getByRole("button", { name: "Sign in", exact: true }).click();
  await dialog.waitFor({ state: "detached" });
  expect(await field.inputValue()).toBe("half a name");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("Saved").waitFor();
  expect((await account.call<{ display_name: string }>("GET", "/v1/me")).display_name).toBe("half a name");
});

test("tabs share the session, a sign-out leaves all of them, and another user reloads them", async ({
  page,
  context,
}) => {
  const [account, other] = [await Account.create(), await Account.create()];
  await signIn(page, account);
  const tab = await context.newPage();
  const errors = collectErrors(tab);
  await tab.goto(`${server}/account/sessions`);
  await tab.getByText("This browser").waitFor();
  await page.getByRole("button", { name: "Your account" }).click();
  await page.getByRole("menuitem", { name: "Sign out" }).click();
  await tab.getByRole("heading", { name: "Sign in" }).waitFor();

  await signIn(page, account, "/account/profile");
  await page.getByText(account.email).first().waitFor();
  await fillForm(tab, other);
  await page.getByText(other.email).first().waitFor();
  expect(errors).toEqual([]);
});

test("devices are shown with what waits on them, and a token is made once and revoked", async ({ page }) => {
  const account = await Account.create();
  const device = `/v1/me/devices/${randomUUID()}`;
  await account.call("PUT", device, { name: "laptop", cursor: null, pending: 3 });
  await signIn(page, account, "/account/sessions");
  await page.getByText("3 changes wait on it · reads the account for the first time").waitFor();
  const { cursor } = await account.call<{ cursor: string }>("GET", "/v1/events/cursor");
  await account.call("PUT", device, { name: "laptop", cursor, pending: 0 });
  await page.getByText("No change waits on it · up to date").waitFor();
  await page.getByRole("button", { name: "Remove the device laptop" }).click();
  const removal = page.getByRole("dialog", { name: "Remove the device" });
  await removal.getByRole("button", { name: "Remove" }).click();
  await page.getByText("No devices yet").waitFor();
  await account.call("PUT", device, { name: "laptop", cursor: null, pending: 0 });
  await page.getByRole("button", { name: "Remove the device laptop" }).click();
  await removal.getByRole("link", { name: "Open the tokens" }).click();
  await page.getByRole("button", { name: "Create a token" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Name").fill("backup");
  await dialog.getByRole("button", { name: "Create a token" }).click();
  const made = page.getByRole("dialog", { name: "Your new token" });
  const token = (await made.locator("pre").textContent()) ?? "";
  const ask = (path: string) => fetch(server + path, { headers: { Authorization: `Bearer ${token}` } });
  expect([(await ask("/v1/files")).status, (await ask("/v1/me/tokens")).status]).toEqual([200, 403]);
  await made.getByRole("button", { name: "Done" }).click();
  await page.getByRole("button", { name: "Revoke the token backup" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Revoke" }).click();
  await page.getByText("No tokens yet").waitFor();
  expect((await ask("/v1/files")).status).toBe(401);
});

test("deleted account is restored by signing in", async ({ page }) => {
  const account = await Account.create();
  await signIn(page, account, "/account/deletion");
  await page.getByRole("button", { name: "Delete my account" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel(`Type ${account.email}`).fill(account.email);
  await dialog.getByRole("button", { name: "Delete my account" }).click();
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  await fillForm(page, account);
  await page.getByRole("button", { name: "Restore the account" }).click();
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  await signIn(page, account);
  await page.getByRole("button", { name: "Your account" }).waitFor();
});
