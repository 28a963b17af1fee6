// Downloads: URLs, and content that survives cut connections and expired URLs.

import fc from "fast-check";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import {
  ContentChanged,
  createArchiveUrl,
  createClient,
  type DownloadSource,
  openContent,
  type ReadOptions,
  signDownload,
} from "../src/index.ts";
import { FakeServer, type ReceivedRequest } from "./support/fake_server.ts";

beforeEach(() => {
  vi.spyOn(Math, "random").mockReturnValue(0); // no waits
});
afterEach(() => {
  vi.restoreAllMocks();
});

const CONTENT = Uint8Array.from({ length: 100 }, (_, index) => index);

/** What the store does with a request: send this many bytes and then cut the connection, or answer a status. */
type Fault = { cut: number } | { status: number };

/** API and store of one file. */
class StoreServer extends FakeServer {
  faults: Fault[] = [];
  fingerprint = "f1";
  #signed = 0;

  constructor() {
    super((request) => this.#answer(request));
  }

  #answer({ path, headers }: ReceivedRequest): Response {
    if (!path.startsWith("/store")) {
      const members = { size_bytes: CONTENT.length, fingerprint: this.fingerprint, revision_id: "r1" };
      return Response.json({ url: `${this.options.baseUrl}/store/${++this.#signed}`, ...members });
    }
    const fault = this.faults.shift() ?? { cut: 1000 };
    if ("status" in fault) return new Response("<Error/>", { status: fault.status });
    const range = /^bytes=(\d+)-(\d+)$/.exec(headers.get("Range") ?? "");
    const bytes = range ? CONTENT.slice(Number(range[1]), Number(range[2]) + 1) : CONTENT;
    const body = new ReadableStream({
      start(controller) {
        controller.enqueue(bytes.slice(0, fault.cut));
      },
      pull(controller) {
        if (fault.cut < bytes.length) controller.error(new TypeError("network error"));
        else controller.close();
      },
    });
    return new Response(body, { status: range ? 206 : 200 });
  }

  async read(source: DownloadSource, options: ReadOptions = {}): Promise<number[]> {
    const { stream } = await openContent(createClient(this.options), source, options);
    return [...new Uint8Array(await new Response(stream).arrayBuffer())];
  }
}

const FILE = { fileId: "a" };

test("content arrives whole through cuts, expired URLs and a busy store, and of one revision", async () => {
  const fault = fc.oneof(
    fc.record({ cut: fc.integer({ min: 0, max: 60 }) }),
    fc.record({ status: fc.constantFrom(403, 500, 503) }),
  );
  const bounds = fc.tuple(fc.nat(110), fc.nat(110)).map(([a, b]) => ({ start: Math.min(a, b), end: Math.max(a, b) }));
  await fc.assert(
    fc.asyncProperty(fc.array(fault, { maxLength: 7 }), fc.option(bounds, { nil: {} }), async (faults, range) => {
      const server = new StoreServer();
      server.faults = faults;
      const { start = 0, end = CONTENT.length } = range as ReadOptions;
      expect(await server.read(FILE, range)).toEqual([...CONTENT.slice(start, end)]);
      const [first, ...again] = server.takePaths().filter((path) => path.startsWith("/v1"));
      expect(first).toBe("/v1/files/a/download?inline=false");
      expect([...new Set(again)].filter((path) => !path.endsWith("&revision=r1"))).toEqual([]);
    }),
    { numRuns: 60 },
  );
});

test("download continues at the byte where the connection was cut", async () => {
  const server = new StoreServer();
  server.faults = [{ cut: 30 }, { cut: 20 }];
  await server.read(FILE);
  const ranges = server.requests.map(({ headers }) => headers.get("Range"));
  expect(ranges).toEqual([null, null, "bytes=30-99", "bytes=50-99"]);
});

test("content that changes under a link fails the download", async () => {
  const server = new StoreServer();
  server.faults = [{ cut: 10 }, { status: 403 }];
  const { stream } = await openContent(createClient(server.options), { fileId: "a", link: "t", pass: "p" });
  expect(server.requests.at(-1)?.headers.get("X-Link-Pass")).toBe("p");
  server.fingerprint = "f2";
  await expect(new Response(stream).arrayBuffer()).rejects.toBeInstanceOf(ContentChanged);
});

test.each([
  ["refuses every URL", Array(20).fill({ status: 403 }), "refuses"],
  ["breaks off before each byte", Array(20).fill({ cut: 0 }), "was cut"],
  ["calls the request wrong", [{ status: 400 }], "Status 400"],
  ["ignores the range", [{ cut: 10 }, { status: 200 }], "answered 200"],
])("download fails when the store %s", async (_, faults, message) => {
  const server = new StoreServer();
  server.faults = faults;
  await expect(server.read(FILE)).rejects.toThrow(message);
  expect(server.requests.length).toBeLessThan(20);
});

test("download that the reader cancels or aborts ends the connection", async () => {
  const server = new StoreServer();
  const { stream } = await openContent(createClient(server.options), FILE);
  await stream.cancel();
  const aborting = new AbortController();
  const other = await openContent(createClient(server.options), FILE, { signal: aborting.signal });
  aborting.abort(new Error("left"));
  await expect(new Response(other.stream).arrayBuffer()).rejects.toThrow("left");
  expect(server.takePaths()).toHaveLength(2); // no request to the store
});

test("URLs of a link's file and of archives name what the caller asked for", async () => {
  const server = new StoreServer();
  const client = createClient(server.options);
  const { url } = await signDownload(client, { fileId: "a", link: "t" }, { inline: true });
  expect(url).toBe(`${server.options.baseUrl}/store/1`);
  await createArchiveUrl(client, { ids: ["a"] });
  await createArchiveUrl(client, { folderId: "b" });
  expect(server.requests.map(({ path, body }) => path + body)).toEqual([
    "/v1/public/links/t/files/a/download?inline=true",
    '/v1/archives{"ids":["a"]}',
    '/v1/archives{"folder_id":"b"}',
  ]);
  const answers = createClient({ ...server.options, fetch: async () => Response.json({ url: "/v1/archives/x" }) });
  expect(await createArchiveUrl(answers, { ids: ["a"] })).toBe(`${server.options.baseUrl}/v1/archives/x`);
});
