// Passkeys, with the authenticator that Chromium simulates.

import { expect } from "vitest";
import { Account } from "./support/account.ts";
import { addAuthenticator } from "./support/authenticator.ts";
import { readOwnAddress, signIn, test } from "./support/test.ts";

test("passkey made in a page signs in without address and password", async ({ app }) => {
  const account = await Account.create();
  await addAuthenticator(app);
  await signIn(app, account);
  const { recovery_codes } = await app.evaluate(() => window.client.addPasskey("laptop"));
  expect(new Set(recovery_codes).size).toBe(10);
  await app.evaluate(() => window.client.signOut());
  await expect(readOwnAddress(app)).rejects.toThrow("401");

  const { refresh_token } = await app.evaluate(() => window.client.signInWithPasskey());
  expect(refresh_token).toBeNull();
  expect(await readOwnAddress(app)).toBe(account.email);
  await app.reload();
  await app.evaluate(() => window.client.refresh());
  expect(await readOwnAddress(app)).toBe(account.email);
});

test("passkey without the right fingerprint signs in nowhere", async ({ app }) => {
  const authenticator = await addAuthenticator(app);
  await signIn(app, await Account.create());
  await app.evaluate(() => window.client.addPasskey("laptop"));
  await app.evaluate(() => window.client.signOut());
  await authenticator.setVerified(false);
  await expect(app.evaluate(() => window.client.signInWithPasskey())).rejects.toThrow("NotAllowedError");
});
