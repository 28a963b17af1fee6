// A page of another origin on the same host: cookies ignore ports, so the browser sends it those of the server.

import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { inject } from "vitest";
import { server } from "./account.ts";

export interface ForeignSite {
  url: string;
  close(): void;
}

/** The port of the site whose pages the server's CORS settings allow. */
export function getKnownPort(): number {
  return inject("knownPorts")[Number(process.env.VITEST_POOL_ID) - 1] as number;
}

const PAGE = '<!doctype html><title>Foreign</title><input type="file" multiple><main></main>';

/** Serve the page, and at other paths what `answer` returns as JSON. The server knows the origin of one port alone. */
export async function openForeignSite(port = 0, answer?: () => Promise<unknown>): Promise<ForeignSite> {
  const site = createServer(async (request, response) => {
    const isPage = request.url === "/" || !answer;
    response.setHeader("Content-Type", isPage ? "text/html" : "application/json");
    response.end(isPage ? PAGE : JSON.stringify(await answer()));
  });
  await new Promise<void>((resolve) => site.listen(port, "127.0.0.1", resolve));
  const { port: used } = site.address() as AddressInfo;
  return { url: `http://${new URL(server).hostname}:${used}/`, close: () => site.close() };
}
