// The authenticator for passkeys that Chromium simulates.

import type { Page } from "playwright-core";

export interface Authenticator {
  /** Let the next fingerprints be right or wrong. */
  setVerified(isVerified: boolean): Promise<unknown>;
}

/** Give the browser a built-in authenticator that reads fingerprints. */
export async function addAuthenticator(page: Page): Promise<Authenticator> {
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
