// The network of a page.

import type { Page } from "playwright-core";

/** Let a page upload slowly, so that its uploads are seen while they run. Returns the function that ends this. */
export async function slowDown(page: Page, bytesPerSecond: number): Promise<() => Promise<void>> {
  const devtools = await page.context().newCDPSession(page);
  const limit = async (uploadThroughput: number) => {
    const rest = { offline: false, latency: 0, downloadThroughput: -1 };
    await devtools.send("Network.emulateNetworkConditions", { ...rest, uploadThroughput });
  };
  await limit(bytesPerSecond);
  return () => limit(-1);
}
