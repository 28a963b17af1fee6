// Passkeys, with the authenticator that Chromium simulates.

import type { Page } from "playwright-core";
import { expect } from "vitest";
import { Account } from "./support/account.ts";
import { readOwnAddress, signIn, test } from "./support/test.ts";

interface Authenticator {
  /** Let the next fingerprints be right or wrong. */
  setVerified(isVerified: boolean): Promise<unknown>;
}

/** Give the browser a built-in authenticator that reads fingerprints. */
async function addAuthenticator(page: Page): Promise<Authenticator> {
  const devtools = await page.context().newCDPSession(page);
  await devtools.send("WebAuthn.enable");
  const { authenticatorId } = await devtools.send("WebAuthn.addVirtualAuthenticator", {
    options: {
      protocol: "ctap2",
      transport: "internal",
      hasResidentKey: true,
      hasUserVerification: true,
      isUserVerified: true,
      automaticPresenceSimulation: true,
    },
  });
  const setVerified = (isUserVerified: boolean) =>
    devtools.send("WebAuthn.setUserVerified", { authenticatorId, isUserVerified });
  return { setVerified };
}

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
