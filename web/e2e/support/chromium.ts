// Chromium as Debian packages it.

import { readlink } from "node:fs/promises";
import { join } from "node:path";
import { type Browser, type BrowserContext, chromium, type LaunchOptions } from "playwright-core";

export const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";

export const OPTIONS: LaunchOptions = {
  executablePath: CHROMIUM,
  headless: true,
  args: [
    "--no-sandbox", // it refuses to run as root otherwise, as CI does
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
};

export function launchChromium(): Promise<Browser> {
  return chromium.launch(OPTIONS);
}

/** Open a profile in a browser of its own, with what earlier browsers have left in it. */
export function openProfile(profile: string, options: LaunchOptions = {}): Promise<BrowserContext> {
  return chromium.launchPersistentContext(profile, { ...OPTIONS, ...options });
}

/** Kill the browser of a profile as a crash does. */
export async function killBrowser(profile: string, context: BrowserContext): Promise<void> {
  const closed = context.waitForEvent("close");
  const owner = await readlink(join(profile, "SingletonLock")); // HOST-PROCESS
  process.kill(Number(owner.split("-").at(-1)), "SIGKILL");
  await closed;
}
