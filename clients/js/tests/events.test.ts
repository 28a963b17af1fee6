// Events: one stream for all readers of a user, each event once and in order, whatever is cut.

import fc from "fast-check";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type Auth, type ChangeEvent, type Client, createClient, isProblem, watchEvents } from "../src/index.ts";
import { readServerSentEvents } from "../src/server_sent_events.ts";
import { computeBackoff } from "../src/wait.ts";
import { eventually } from "./support/eventually.ts";
import { FakeServer, problem, type ReceivedRequest } from "./support/fake_server.ts";

let closing: AbortController;

beforeEach(() => {
  closing = new AbortController();
  vi.spyOn(Math, "random").mockReturnValue(0); // no waits
});
afterEach(() => {
  closing.abort();
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

/** A journal of numbered events: the cursor is the number of events before it. */
class JournalServer extends FakeServer {
  length = 0;
  /** Older cursors have expired. */
  oldest = 0;
  answersOfJournal = Promise.resolve();
  readonly #streams = new Set<ReadableStreamDefaultController<string>>();

  constructor() {
    super(async (request, signal) => {
      const answer = this.#answer(request, signal);
      if (request.path.startsWith("/v1/events?")) await this.answersOfJournal; // events happen meanwhile
      return answer;
    });
  }

  /** A client of a tab of this user. */
  openTab(userId: string | null = "ada"): Client {
    const auth: Auth = { getToken: async () => "token", userId };
    return createClient({ ...this.options, auth: () => auth });
  }

  append(): void {
    this.length += 1;
    for (const stream of this.#streams) stream.enqueue(this.#format(this.length));
  }

  /** End the streams, perhaps within an event. */
  cut(): void {
    for (const stream of this.#streams) {
      stream.enqueue(this.#format(99).slice(0, 20));
      stream.error(new TypeError("network error"));
    }
    this.#streams.clear();
  }

  count(path: string): number {
    return this.requests.filter((request) => request.path.startsWith(path)).length;
  }

  #answer({ path }: ReceivedRequest, signal: AbortSignal): Response {
    const { pathname, searchParams } = new URL(path, "https://server.example");
    if (pathname === "/v1/events/cursor") return Response.json({ cursor: `${this.length}` });
    const cursor = Number(searchParams.get("cursor"));
    if (cursor < this.oldest) return problem(410, "cursor-expired", { reason: "retention" });
    if (pathname === "/v1/events") {
      const events = this.#read(cursor).slice(0, 2); // small pages
      const members = { has_more: cursor + events.length < this.length, backoff_s: null };
      return Response.json({ events, cursor: `${cursor + events.length}`, ...members });
    }
    const stream = new ReadableStream<string>({
      start: (controller) => {
        this.#streams.add(controller);
        controller.enqueue(": begin\n\n");
        for (const { id } of this.#read(cursor)) controller.enqueue(this.#format(Number(id)));
        signal.addEventListener("abort", () => {
          if (this.#streams.delete(controller)) controller.error(signal.reason);
        });
      },
    });
    return new Response(stream.pipeThrough(new TextEncoderStream()));
  }

  #read(cursor: number): { id: string }[] {
    return Array.from({ length: this.length - cursor }, (_, index) => ({ id: `${cursor + index + 1}` }));
  }

  #format(number: number): string {
    return `id: ${number}\nevent: file.created\ndata: {"id":"${number}"}\n\n`;
  }
}

/** A reader that collects the numbers of events. */
class Collector {
  readonly numbers: number[] = [];
  readonly done: Promise<unknown>;
  readonly #closing = new AbortController();

  constructor(client: Client, cursor?: number) {
    const signal = AbortSignal.any([closing.signal, this.#closing.signal]);
    this.done = this.#collect(watchEvents(client, cursor === undefined ? { signal } : { signal, cursor: `${cursor}` }));
  }

  async #collect(changes: AsyncIterable<{ event: ChangeEvent }>): Promise<unknown> {
    try {
      for await (const { event } of changes) this.numbers.push(Number(event.id));
      return null;
    } catch (error) {
      return error;
    }
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.done;
  }
}

const range = (begin: number, end: number) => Array.from({ length: end - begin }, (_, index) => begin + index + 1);

test("tabs share one stream, and the next one continues it when the leader closes or the connection is cut", async () => {
  const server = new JournalServer();
  const leader = new Collector(server.openTab());
  await eventually(() => expect(server.count("/v1/events/stream")).toBe(1));
  const [follower, stranger] = [new Collector(server.openTab()), new Collector(server.openTab("bob"))];
  await eventually(() => expect(server.count("/v1/events/stream")).toBe(2)); // one for each user
  server.takePaths();
  for (let count = 0; count < 5; count++) server.append();
  for (const reader of [leader, follower, stranger]) {
    await eventually(() => expect(reader.numbers).toEqual(range(0, 5)));
  }
  expect(server.takePaths()).toEqual([]); // nothing but the streams
  await leader.close();
  await eventually(() => expect(server.takePaths()).toContain("/v1/events/stream?cursor=5"));
  server.append();
  server.cut();
  server.append();
  await eventually(() => expect(follower.numbers).toEqual(range(0, 7)));
  expect(leader.numbers).toEqual(range(0, 5));
});

test("readers get each event after their cursor once and in order, whatever happens to streams and tabs", async () => {
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.constant("append") },
    fc.constantFrom("cut", "open", "openOld", "close", "rest"),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 25 }), async (steps) => {
      const server = new JournalServer();
      const readers = [{ begin: 0, reader: new Collector(server.openTab(), 0) }];
      for (const step of steps) {
        if (step === "append") server.append();
        else if (step === "cut") server.cut();
        else if (step === "open")
          readers.push({ begin: server.length, reader: new Collector(server.openTab(), server.length) });
        else if (step === "openOld") readers.push({ begin: 0, reader: new Collector(server.openTab(), 0) });
        else if (step === "close" && readers.length > 1) await readers.shift()?.reader.close();
        else await new Promise((resolve) => setTimeout(resolve));
      }
      for (const { begin, reader } of readers) {
        await eventually(() => expect(reader.numbers).toEqual(range(begin, server.length)));
        await reader.close();
      }
    }),
    { numRuns: 30 },
  );
});

test("event that arrives while the journal is read is given once", async () => {
  const server = new JournalServer();
  const leader = new Collector(server.openTab(), 0);
  await eventually(() => expect(server.count("/v1/events/stream")).toBe(1));
  server.takePaths();
  const { promise, resolve } = Promise.withResolvers<void>();
  server.answersOfJournal = promise;
  const late = new Collector(server.openTab(), 0);
  await eventually(() => expect(server.count("/v1/events?")).toBe(1));
  server.append();
  await eventually(() => expect(leader.numbers).toEqual([1]));
  resolve();
  server.append();
  await eventually(() => expect(leader.numbers).toEqual([1, 2]));
  await eventually(() => expect(late.numbers.length).toBeGreaterThanOrEqual(2));
  server.append();
  await eventually(() => expect(late.numbers).toEqual([1, 2, 3]));
});

test("expired cursor ends the iteration with its reason, in one reader alone", async () => {
  const server = new JournalServer();
  for (let count = 0; count < 3; count++) server.append();
  server.oldest = 2;
  const current = new Collector(server.openTab(), 2);
  const error = await new Collector(server.openTab(), 1).done;
  expect(isProblem(error, "cursor-expired") && error.problem.reason).toBe("retention");
  await eventually(() => expect(current.numbers).toEqual([3]));
});

test("stream whose cursor expires while it is disconnected ends the iteration", async () => {
  const server = new JournalServer();
  const reader = new Collector(server.openTab(), 0);
  await eventually(() => expect(server.count("/v1/events/stream")).toBe(1));
  server.oldest = 1;
  server.cut();
  expect(isProblem(await reader.done, "cursor-expired")).toBe(true);
});

test("lost connection at the start is repeated, a session that ended is thrown", async () => {
  const server = new JournalServer();
  const answers = [
    () => Promise.reject(new TypeError("offline")),
    () => problem(503, "unavailable"),
    () => problem(401, "unauthenticated"),
  ];
  const fetch = vi.fn(async () => answers.shift()!());
  const client = createClient({ ...server.options, fetch });
  expect(isProblem(await new Collector(client).done, "unauthenticated")).toBe(true);
  expect(fetch).toHaveBeenCalledTimes(3);
});

test("end of the session ends the iteration at once, while the stream lives on", async () => {
  const server = new JournalServer();
  const listeners = new Set<() => void>();
  const auth = {
    userId: "ada" as string | null,
    getToken: async () => {
      if (auth.userId === null) throw new Error("session ended");
      return "token";
    },
    subscribe: (listener: () => void) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
  const reader = new Collector(createClient({ ...server.options, auth: () => auth }));
  await eventually(() => expect(server.count("/v1/events/stream")).toBe(1));
  for (const tell of listeners) tell(); // a new token of the same user
  auth.userId = null;
  for (const tell of listeners) tell();
  expect(await reader.done).toMatchObject({ message: "session ended" });
  expect(listeners).toEqual(new Set());
  expect(server.count("/v1/events?")).toBe(1);
});

test("readers without locks, or of an unknown user, have streams of their own", async () => {
  vi.mocked(Math.random).mockRestore();
  const server = new JournalServer();
  const readers = [new Collector(server.openTab(null)), new Collector(server.openTab(null))];
  vi.stubGlobal("navigator", {});
  readers.push(new Collector(server.openTab()), new Collector(server.openTab()));
  await eventually(() => expect(server.count("/v1/events/stream")).toBe(4));
  server.append();
  for (const { numbers } of readers) await eventually(() => expect(numbers).toEqual([1]));
});

test("silent stream is opened again", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  try {
    const server = new JournalServer();
    const reader = new Collector(server.openTab());
    await eventually(() => expect(server.count("/v1/events/stream")).toBe(1));
    await vi.advanceTimersByTimeAsync(50_000);
    await eventually(() => expect(server.count("/v1/events/stream")).toBe(2));
    await reader.close();
  } finally {
    vi.useRealTimers();
  }
});

test("server-sent events are read from pieces of any size", async () => {
  const text =
    ": comment\n\nid: 1\r\nevent: a\r\ndata: ä\r\ndata:b\r\n\r\nid: 2\ndata: 漢\n\nevent: empty\n\ndata: cut";
  const bytes = new TextEncoder().encode(text);
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(bytes.length)), async (places) => {
      const cuts = [0, ...places.sort((a, b) => a - b), bytes.length];
      const pieces = cuts.slice(1).map((end, index) => bytes.slice(cuts[index], end));
      async function* arrive() {
        yield* pieces;
      }
      const events: unknown[] = [];
      for await (const event of readServerSentEvents(arrive())) events.push(event);
      expect(events).toEqual([
        { id: "1", event: "a", data: "ä\nb" },
        { id: "2", event: "message", data: "漢" },
      ]);
    }),
    { numRuns: 50 },
  );
});

test("wait between attempts grows up to a limit, and is at least what the server asked for", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 2000 }), fc.double({ min: 0, max: 1, noNaN: true }), (failures, random) => {
      const ms = computeBackoff(failures, undefined, random);
      expect(ms).toBeGreaterThanOrEqual(0);
      expect(ms).toBeLessThanOrEqual(30_000);
      expect(computeBackoff(failures + 1, undefined, random)).toBeGreaterThanOrEqual(ms);
    }),
  );
});
