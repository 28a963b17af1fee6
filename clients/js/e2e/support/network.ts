// `test` with a browser whose network the test takes away: a proxy between it and the servers.

import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Transform } from "node:stream";
import { expect } from "vitest";
import { test as base } from "../../../../web/e2e/support/test.ts";

const REFUSAL = "<Error><Code>InvalidRequest</Code></Error>";

interface Exchange {
  origin: string;
  incoming: IncomingMessage;
  answer: ServerResponse;
}

export class Network {
  /** What happens to requests, by the origin of their server. */
  private readonly faults = new Map<string, "cut" | "hold" | "damage" | "refuse">();
  private readonly exchanges = new Set<Exchange>();
  private readonly held = new Set<Exchange>();
  private readonly proxy = createServer((incoming, answer) => this.receive(incoming, answer));

  static async open(): Promise<Network> {
    const network = new Network();
    await new Promise<void>((listening) => network.proxy.listen(0, "127.0.0.1", listening));
    return network;
  }

  get address(): string {
    return `http://127.0.0.1:${(this.proxy.address() as AddressInfo).port}`;
  }

  /** Leave further requests to a server without an answer. Preflights go on. */
  hold(origin: string): void {
    this.faults.set(origin, "hold");
  }

  /** Wait until so many requests to a server are held; return their addresses. */
  async waitForHeld(origin: string, count: number): Promise<string[]> {
    const list = () => [...this.held].filter((exchange) => exchange.origin === origin);
    await expect.poll(() => list().length, { timeout: 120_000, interval: 20 }).toBeGreaterThanOrEqual(count);
    return list().map(({ incoming }) => incoming.url ?? "");
  }

  /** Break the connections to a server, those of held requests too, and refuse new ones. */
  cut(origin: string): void {
    this.faults.set(origin, "cut");
    for (const exchange of this.exchanges) if (exchange.origin === origin) exchange.incoming.socket.destroy();
  }

  /** Change a byte of the next PUT to a server. */
  damage(origin: string): void {
    this.faults.set(origin, "damage");
  }

  /** Answer the PUTs to a server as a store does that forbids them. */
  refuse(origin: string): void {
    this.faults.set(origin, "refuse");
  }

  /** Forward all requests to a server again, those that are held too. */
  restore(origin: string): void {
    this.faults.delete(origin);
    for (const exchange of this.held) if (exchange.origin === origin) this.forward(exchange);
  }

  restoreAll(): void {
    for (const origin of this.faults.keys()) this.restore(origin);
  }

  close(): void {
    this.proxy.closeAllConnections();
    this.proxy.close();
  }

  private receive(incoming: IncomingMessage, answer: ServerResponse): void {
    const { origin } = new URL(incoming.url ?? "");
    const exchange = { origin, incoming, answer };
    const fault = this.faults.get(origin);
    this.exchanges.add(exchange);
    answer.on("close", () => {
      this.exchanges.delete(exchange);
      this.held.delete(exchange);
    });
    if (fault === "cut") incoming.socket.destroy();
    else if (fault === "hold" && incoming.method !== "OPTIONS") this.held.add(exchange);
    else if (fault === "damage" && incoming.method === "PUT") {
      this.faults.delete(origin);
      this.forward(exchange, changeFirstByte());
    } else if (fault === "refuse" && incoming.method === "PUT") {
      incoming.resume();
      incoming.on("end", () => answer.writeHead(400, { "Access-Control-Allow-Origin": "*" }).end(REFUSAL));
    } else this.forward(exchange);
  }

  private forward(exchange: Exchange, change?: Transform): void {
    const { incoming, answer } = exchange;
    const { method = "GET", headers, url = "" } = incoming;
    this.held.delete(exchange);
    const outgoing = request(url, { method, headers }, (received) => {
      answer.writeHead(received.statusCode ?? 502, received.headers);
      received.pipe(answer);
    });
    outgoing.on("error", () => incoming.socket.destroy());
    answer.on("close", () => outgoing.destroy());
    (change ? incoming.pipe(change) : incoming).pipe(outgoing);
  }
}

function changeFirstByte(): Transform {
  let isFirst = true;
  return new Transform({
    transform(piece: Buffer, _, done) {
      if (isFirst) piece[0] = (piece[0] ?? 0) ^ 1;
      isFirst = false;
      done(null, piece);
    },
  });
}

const withNetwork = base.extend<{ network: Network }>({
  network: [
    // biome-ignore lint/correctness/noEmptyPattern: Vitest reads from the pattern which fixtures are needed.
    async ({}, use) => {
      const network = await Network.open();
      await use(network);
      network.close();
    },
    { scope: "file" },
  ],
});

export const test = withNetwork.extend({
  options: async ({ network }, use) => {
    await use({ proxy: { server: network.address } });
    network.restoreAll(); // a test that failed has not
  },
});
