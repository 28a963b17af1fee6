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

const FORBIDDEN = {
  code: "forbidden",
  title: "Forbidden",
  detail: "No",
  status: 403,
  type: "about:blank",
  retryable: false,
};

/** Let the server refuse the uploads of a page. Returns the function that ends this. */
export async function refuseUploads(page: Page): Promise<() => Promise<void>> {
  const calls = "**/v1/uploads**";
  await page.route(calls, (route) =>
    route.fulfill({ status: 403, contentType: "application/problem+json", body: JSON.stringify(FORBIDDEN) }),
  );
  return () => page.unroute(calls);
}
