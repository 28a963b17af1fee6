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

/** Let a page get an answer that the server does not make. Returns the function that ends this. */
export async function answer(page: Page, calls: string, status: number, json: object): Promise<() => Promise<void>> {
  const contentType = status < 400 ? "application/json" : "application/problem+json";
  await page.route(calls, (route) => route.fulfill({ status, contentType, body: JSON.stringify(json) }));
  return () => page.unroute(calls);
}

export const FORBIDDEN = {
  code: "forbidden",
  title: "Forbidden",
  detail: "No",
  status: 403,
  type: "about:blank",
  retryable: false,
};

/** Let a page get other JSON than the server answers. Returns the function that ends this. */
export async function changeAnswers(page: Page, calls: string, change: object): Promise<() => Promise<void>> {
  await page.route(calls, async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, json: { ...(await response.json()), ...change } });
  });
  return () => page.unroute(calls);
}

/** Let the server refuse the uploads of a page. Returns the function that ends this. */
export function refuseUploads(page: Page): Promise<() => Promise<void>> {
  return answer(page, "**/v1/uploads**", 403, FORBIDDEN);
}
