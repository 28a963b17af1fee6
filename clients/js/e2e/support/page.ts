// The package in pages of the server's own origin, as an application has it.

import { resolve } from "node:path";
import type { BrowserContext, Page } from "playwright-core";
import { rolldown } from "rolldown";
import { openTestPage } from "../../../../web/e2e/support/test.ts";
import type * as dropbox from "../../src/index.ts";

declare global {
  interface Window {
    dropbox: typeof dropbox;
    /** The page's client. */
    page: dropbox.Client<dropbox.CookieSession>;
  }
}

/** Return a script that puts the package into `window.dropbox`, and a client into `window.page`. */
async function buildScript(): Promise<string> {
  const bundle = await rolldown({ input: resolve(import.meta.dirname, "../../src/index.ts"), logLevel: "silent" });
  const { output } = await bundle.generate({ format: "iife", name: "dropbox" });
  const client = "dropbox.createClient({ auth: dropbox.cookieSession() })";
  return `${output[0].code}; window.dropbox = dropbox; window.page = ${client};`;
}

const script = buildScript();

/** Open a tab with the package. A reload keeps it. */
export async function openTab(context: BrowserContext, address?: string): Promise<Page> {
  const page = await context.newPage();
  await page.addInitScript(await script);
  await openTestPage(page, address);
  return page;
}
