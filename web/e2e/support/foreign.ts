// A page of another origin on the same host: cookies ignore ports, so the browser sends it those of the server.

import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { server } from "./account.ts";

export interface ForeignSite {
  url: string;
  close(): void;
}

export async function openForeignSite(): Promise<ForeignSite> {
  const site = createServer((_, answer) => {
    answer.setHeader("Content-Type", "text/html").end("<!doctype html><title>Foreign</title><main></main>");
  });
  await new Promise<void>((resolve) => site.listen(0, "127.0.0.1", resolve));
  const { port } = site.address() as AddressInfo;
  return { url: `http://${new URL(server).hostname}:${port}/`, close: () => site.close() };
}
