// `test` with a browser: one Chromium for each test file, a new profile for each test.

import type { Browser, BrowserContext, BrowserContextOptions, ConsoleMessage, Page } from "playwright-core";
import { test as base, expect } from "vitest";
import { type Account, server } from "./account.ts";
import { launchChromium } from "./chromium.ts";
import { createClient } from "./client.ts";

/** Against hanging tests; the machine may be busy. */
const TIMEOUT_MS = process.env.E2E === "long" ? 1_800_000 : 120_000;

interface Fixtures {
  browser: Browser;
  /** Of the context; a test file overrides them. */
  options: BrowserContextOptions;
  /** A browser profile. */
  context: BrowserContext;
  /** A page whose errors of scripts, CORS and Content-Security-Policy fail the test. */
  page: Page;
  /** The test page with its client, open. */
  app: Page;
}

export const test = base.extend<Fixtures>({
  browser: [
    // biome-ignore lint/correctness/noEmptyPattern: Vitest reads from the pattern which fixtures are needed.
    async ({}, use) => {
      const browser = await launchChromium();
      await use(browser);
      await browser.close();
    },
    { scope: "file" },
  ],
  options: {},
  context: async ({ browser, options }, use) => {
    const context = await browser.newContext(options);
    context.setDefaultTimeout(TIMEOUT_MS);
    await use(context);
    await context.close();
  },
  page: async ({ context }, use) => {
    const page = await context.newPage();
    const errors = collectErrors(page);
    await use(page);
    expect(errors).toEqual([]);
  },
  app: async ({ page }, use) => {
    await openTestPage(page);
    await use(page);
  },
});

/** `test` in a browser that runs no script. */
export const withoutScript = test.extend({ options: { javaScriptEnabled: false } });

/** Collect what a page reports as an error of its own. An answer such as 404 is none. */
export function collectErrors(page: Page): string[] {
  const errors: string[] = [];
  page.on("pageerror", (error) => errors.push(error.message));
  page.on("console", (message: ConsoleMessage) => {
    if (/Content.Security.Policy|CORS/i.test(message.text())) errors.push(message.text());
  });
  return errors;
}

const BODY = '<label>Files <input type="file" multiple></label><main></main>';

/** Open a further tab with the test page. */
export async function openTab(context: BrowserContext, address = server): Promise<Page> {
  const page = await context.newPage();
  await openTestPage(page, address);
  return page;
}

/** Sign in on the test page. */
export async function signIn(page: Page, { email, password }: Account): Promise<void> {
  await page.evaluate(([email, password]) => window.client.signIn(email, password), [email, password] as const);
}

/** Return the address of the account of which a page holds an access token. */
export async function readOwnAddress(page: Page): Promise<string> {
  return (await page.evaluate(() => window.client.call<{ email: string }>("GET", "/v1/me"))).email;
}

/** Open the test page: an answer of the server with another body and the client; a reload keeps both. */
export async function openTestPage(page: Page, address = server): Promise<void> {
  // No route of Playwright: it would answer CORS preflights itself, switch the cache off, and give the page no address
  // space, without which Chromium forbids requests to this machine.
  const devtools = await page.context().newCDPSession(page);
  await devtools.send("Page.setBypassCSP", { enabled: true });
  await page.addInitScript(`
    window.client = (${createClient})();
    addEventListener("DOMContentLoaded", () => { document.body.innerHTML = ${JSON.stringify(BODY)}; });
  `);
  await page.goto(`${address}/healthz`);
}
