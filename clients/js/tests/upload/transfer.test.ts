// Uploads against a server and a store that fail: what arrives, what is sent again, and what is told.

import fc from "fast-check";
import { expect, test } from "vitest";
import type { ProblemCode } from "../../src/index.ts";
import type { Report } from "../../src/upload/machine.ts";
import type { Runner } from "../../src/upload/runner.ts";
import { eventually } from "../support/eventually.ts";
import { type ApiFault, FaultServer, SINGLE_MAX, type StoreFault } from "./support/fault_server.ts";

const LINK = { kind: "link", token: "t", secret: "s" } as const;
const storeFault = fc.constantFrom<StoreFault>("ok", "ok", "busy", "lost", "expired", "damaged", "gone");
const apiFault = fc.constantFrom<ApiFault>("ok", "ok", "ok", "away", "lost", "unavailable");

/** Whether the engine may not give up: it does after 4 sessions of a file, and after 5 expired URLs or damaged tries of a part. */
function isSurvivable(faults: StoreFault[]): boolean {
  const count = (wanted: StoreFault) => faults.filter((fault) => fault === wanted).length;
  return count("gone") < 4 && count("expired") < 5 && count("damaged") < 5;
}

function makeContent(sizeBytes: number, seed = 1): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length: sizeBytes }, (_, index) => (index * 31 + seed * 17 + (index >> 8)) % 256);
}

/** Return small files that contain their names. */
function makeFiles(...names: string[]): Record<string, Blob> {
  return Object.fromEntries(names.map((name) => [name, new Blob([name])]));
}

function listTwice(parts: readonly string[]): string[] {
  return parts.filter((part, index) => parts.indexOf(part) !== index);
}

test("files of any size arrive whole whatever fails, and only lost answers make a part travel twice", async () => {
  const sizes = fc.array(fc.integer({ min: 0, max: 5 * SINGLE_MAX }), { minLength: 1, maxLength: 6 });
  const faults = {
    store: fc.array(storeFault, { maxLength: 12 }).filter(isSurvivable),
    api: fc.array(apiFault, { maxLength: 12 }),
    slow: fc.nat({ max: 6 }),
  };
  await fc.assert(
    fc.asyncProperty(sizes, fc.record(faults), fc.boolean(), async (sizes, { store, api, slow }, isLink) => {
      const server = new FaultServer();
      server.slowCompletions = slow;
      server.storeFaults = [...store];
      server.apiFaults = [...api];
      const content = Object.fromEntries(sizes.map((size, index) => [`${index}.bin`, makeContent(size, index)]));
      const files = Object.fromEntries(Object.entries(content).map(([name, bytes]) => [name, new Blob([bytes])]));
      const last = await server.upload(files, isLink ? { target: LINK } : {});
      for (const [name, bytes] of Object.entries(content)) {
        expect([name, last[name]?.type]).toEqual([name, "done"]);
        expect(server.files.get(name)).toEqual(bytes);
      }
      // A session that the store forgot is not the client's doing.
      const lost = store.filter((fault) => fault === "lost").length + api.filter((fault) => fault === "lost").length;
      if (!store.includes("gone")) expect(listTwice(server.took).length).toBeLessThanOrEqual(lost);
    }),
    { numRuns: 60 },
  );
});

test.each([
  ["an account", {}],
  ["a link", { target: LINK }],
])("upload for %s that was stopped continues with the parts that are missing", async (_, options) => {
  const server = new FaultServer();
  const content = makeContent(600);
  const uploadIds: Record<string, string> = {};
  const stopped = Promise.withResolvers<void>();
  server.hangAfter(6, stopped.resolve);
  await server.upload({ "a.bin": new Blob([content]) }, { ...options, uploadIds, until: stopped.promise });
  server.beforePut = () => undefined;
  const before = server.took.length;
  expect(before).toBeGreaterThan(1);
  await server.upload({ "a.bin": new Blob([content]) }, { ...options, uploadIds });
  expect(server.files.get("a.bin")).toEqual(content);
  expect(listTwice(server.took)).toEqual([]);
  expect(server.sessions.size).toBe(1);
});

test("upload whose session is unknown to the page is found by its registered hashes", async () => {
  const server = new FaultServer();
  const stopped = Promise.withResolvers<void>();
  server.hangAfter(3, stopped.resolve);
  await server.upload({ "a.bin": new Blob([makeContent(600)]) }, { until: stopped.promise });
  server.beforePut = () => undefined;
  await server.upload({ "other.bin": new Blob([makeContent(600, 2)]) });
  await server.upload({ "a.bin": new Blob([makeContent(600)]) });
  expect(server.files.get("a.bin")).toEqual(makeContent(600));
  expect(server.files.get("other.bin")).toEqual(makeContent(600, 2));
  expect(server.sessions.size).toBe(2);
  expect(listTwice(server.took)).toEqual([]);
});

test("session with parts of another file is never completed with this one", async () => {
  const server = new FaultServer();
  const uploadIds: Record<string, string> = {};
  const stopped = Promise.withResolvers<void>();
  server.hangAfter(3, stopped.resolve);
  await server.upload({ "a.bin": new Blob([makeContent(600)]) }, { uploadIds, until: stopped.promise });
  server.beforePut = () => undefined;
  const other = makeContent(600); // as long, and picked in its place; it differs where nothing is missing
  other[0] = 255;
  const last = await server.upload({ "a.bin": new Blob([other]) }, { uploadIds });
  expect(last["a.bin"]?.type).toBe("done");
  expect(server.files.get("a.bin")).toEqual(other);
  expect([...server.sessions.values()].map(({ state }) => state)).toEqual(["aborted", "completed"]);
});

test("session that another device ends meanwhile is replaced by a new one", async () => {
  const server = new FaultServer();
  server.beforePut = () => {
    const [first] = server.sessions.values();
    if (first && server.took.length === 3) first.state = "aborted";
  };
  const last = await server.upload({ "a.bin": new Blob([makeContent(600)]) });
  expect(last["a.bin"]?.type).toBe("done");
  expect(server.files.get("a.bin")).toEqual(makeContent(600));
  expect([...server.sessions.values()].map(({ state }) => state)).toEqual(["aborted", "completed"]);
});

test("file that changes while it is sent fails and ends its session", async () => {
  const server = new FaultServer();
  const bytes = makeContent(600);
  class ChangingFile extends File {
    override slice(begin?: number, end?: number): Blob {
      // The first reading hashes, later ones send other bytes.
      const isHashed = server.calls.some((call) => call.endsWith("/parts"));
      return new Blob([isHashed ? makeContent(600, 9) : bytes]).slice(begin, end);
    }
  }
  const last = await server.upload({ "a.bin": new ChangingFile([bytes], "a.bin", { lastModified: 1 }) });
  expect(last["a.bin"]).toMatchObject({ type: "failed", failure: { code: "file-changed" } });
  expect([...server.sessions.values()].map(({ state }) => state)).toEqual(["aborted"]);
});

test("file that becomes unreadable while it is sent fails instead of being tried again for minutes", async () => {
  const server = new FaultServer();
  class VanishingFile extends File {
    override slice(begin?: number, end?: number): Blob {
      const slice = super.slice(begin, end);
      const isGone = server.took.length > 2;
      if (isGone) slice.arrayBuffer = () => Promise.reject(new DOMException("gone", "NotReadableError"));
      return slice;
    }
  }
  const file = new VanishingFile([makeContent(2000)], "a.bin", { lastModified: 1 });
  // The hashes are known by then: only the sender reads the file.
  const last = await server.upload({ "a.bin": file });
  expect(last["a.bin"]).toMatchObject({ type: "failed", failure: { code: "file-unreadable" } });
});

test("file that the browser cannot read fails alone, and says so", async () => {
  const server = new FaultServer();
  class UnreadableFile extends File {
    override async arrayBuffer(): Promise<ArrayBuffer> {
      throw new DOMException("no", "NotReadableError");
    }
  }
  const files = { "bad.txt": new UnreadableFile(["x"], "bad.txt"), "a.txt": new Blob(["a"]), "b.txt": new Blob(["b"]) };
  const last = await server.upload(files);
  expect(last["bad.txt"]).toMatchObject({ type: "failed", failure: { code: "file-unreadable" } });
  expect([last["a.txt"]?.type, last["b.txt"]?.type]).toEqual(["done", "done"]);
});

test("taken names are decided by the page: skip, or another name", async () => {
  const server = new FaultServer();
  server.files.set("a.txt", new Uint8Array());
  server.files.set("b.txt", new Uint8Array());
  const decide = async ({ name }: { name: string }) => (name === "a.txt" ? ("skip" as const) : ("replace" as const));
  const last = await server.upload(
    { "a.txt": new Blob(["a"]), "b.txt": new Blob(["b"]), "c.txt": new Blob(["c"]) },
    { decide },
  );
  expect([last["a.txt"]?.type, last["b.txt"]?.type, last["c.txt"]?.type]).toEqual(["skipped", "done", "done"]);
  expect([...server.files].map(([name, bytes]) => `${name}=${bytes}`)).toEqual(["a.txt=", "b.txt=98", "c.txt=99"]);
});

test("small files share calls: one start and one completion for a batch", async () => {
  const server = new FaultServer();
  const files = Object.fromEntries(Array.from({ length: 100 }, (_, index) => [`${index}`, new Blob([`${index}`])]));
  await server.upload(files);
  expect(server.files.size).toBe(100);
  expect(server.calls).toEqual(["POST /v1/uploads/batch", "POST /v1/uploads/batch/complete"]);
});

const TARGETS = [
  ["an account", {}],
  ["a link", { target: LINK }],
] as const;

test.each(TARGETS)(
  "batch for %s of which the server completes a part is asked about again for the rest",
  async (_, options) => {
    const server = new FaultServer();
    server.slowCompletions = 3;
    const last = await server.upload(makeFiles("a.txt", "b.txt", "c.txt", "d.txt"), options);
    expect(Object.values(last).map(({ type }) => type)).toEqual(["done", "done", "done", "done"]);
    expect(server.files.size).toBe(4);
    expect(server.took).toHaveLength(4);
    expect(server.calls.map((call) => call.replace(/.*uploads/, ""))).toEqual([
      "/batch",
      "/batch/complete",
      "/batch/complete",
    ]);
  },
);

test.each(TARGETS)("batch for %s shows why it was refused for each file, and sends the others", async (_, options) => {
  const server = new FaultServer();
  const refusals = new Map<string, ProblemCode>([
    ["film.mov", "size-not-allowed"],
    ["a/b.txt", "invalid-name"],
    ["late.txt", "quota-exceeded"],
  ]);
  server.refuse = (name) => refusals.get(name) ?? null;
  const last = await server.upload(makeFiles("a.txt", ...refusals.keys(), "b.txt"), options);
  const failures = Object.entries(last).flatMap(([name, each]) =>
    each.type === "failed" ? [[name, each.failure.code]] : [],
  );
  expect(new Map(failures as [string, string][])).toEqual(refusals);
  expect([...server.files.keys()].toSorted()).toEqual(["a.txt", "b.txt"]);
  expect(server.took).toHaveLength(2);
});

test("cancelled files of a batch leave no session, not even those that the store has", async () => {
  const server = new FaultServer();
  const files = makeFiles("a", "b", "c", "d", "e", "f");
  const [blocked, ended] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const runners = new Set<Runner>();
  let puts = 0;
  server.beforePut = () => {
    puts += 1;
    return puts > 1 ? blocked.promise : undefined;
  };
  const uploading = server.upload(files, { until: ended.promise, onReport: (_, runner) => runners.add(runner) });
  await eventually(() => expect(server.took).toHaveLength(1));
  const ends = [...runners].flatMap((runner) => Object.keys(files).map((id) => runner.cancel(id, null)));
  blocked.resolve();
  await Promise.all(ends);
  ended.resolve();
  await uploading;
  expect(server.took).toHaveLength(1);
  expect([...server.sessions.values()].map(({ state }) => state)).toEqual(Array(6).fill("aborted"));
});

test("cancelled file does not wait for the answer about its taken name", async () => {
  const server = new FaultServer();
  server.files.set("a.txt", new Uint8Array());
  const cancelled = Promise.withResolvers<void>();
  await server.upload(makeFiles("a.txt"), {
    until: cancelled.promise,
    decide: () => new Promise(() => undefined),
    onReport: ({ type }, runner, { id }) => {
      if (type === "asking") runner.cancel(id, null).then(cancelled.resolve, cancelled.reject);
    },
  });
  expect(server.took).toEqual([]);
});

test("store that refuses every URL ends the upload with a reason", async () => {
  const server = new FaultServer();
  server.storeFaults = Array.from({ length: 100 }, () => "expired");
  const last = await server.upload({ "a.bin": new Blob([makeContent(150)]) });
  expect(last["a.bin"]).toMatchObject({ type: "failed", failure: { code: "store-refused" } });
});

test("stopped upload sends nothing more, and a cancelled one aborts its session", async () => {
  const server = new FaultServer();
  const stopped = Promise.withResolvers<void>();
  const seen: Report[] = [];
  await server.upload(
    { "a.bin": new Blob([makeContent(600)]) },
    {
      until: stopped.promise,
      onReport: (report, runner, job) => {
        seen.push(report);
        if (report.type !== "sending" || report.sentBytes < 80) return;
        void runner.cancel(job.id, null).then(stopped.resolve, stopped.reject);
      },
    },
  );
  const { length } = server.took;
  await new Promise((resolve) => setTimeout(resolve));
  expect(server.took).toHaveLength(length);
  expect(seen.at(-1)?.type).toBe("sending");
  expect([...server.sessions.values()].map(({ state }) => state)).toEqual(["aborted"]);
});

test("call to the API that gets no answer is made again", async () => {
  const server = new FaultServer();
  server.answerMs = 50;
  server.apiFaults = ["silent", "ok", "silent", "ok", "silent"];
  const last = await server.upload({ "a.bin": new Blob([makeContent(600)]) });
  expect(last["a.bin"]?.type).toBe("done");
  expect(server.files.get("a.bin")).toEqual(makeContent(600));
  expect(server.apiFaults).toEqual([]);
});

test("start of a large file signs its first chunk, so that the first PUT waits for no further call", async () => {
  const server = new FaultServer();
  const sent = Promise.withResolvers<void>();
  server.beforePut = sent.resolve;
  server.beforeAnswer = (call) => (call.endsWith("/parts") ? sent.promise : undefined);
  server.chunkBytes = 2 ** 20;
  const last = await server.upload({ "large.bin": new Blob([new Uint8Array(2.5 * server.chunkBytes)]) });
  expect(last["large.bin"]?.type).toBe("done");
  expect(listTwice(server.took)).toEqual([]);
});

const MIB = 2 ** 20;

/** Return bytes without a pattern, the same for a seed. */
function makeNoise(sizeBytes: number, seed: number): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(Math.ceil(sizeBytes / 4));
  let state = seed;
  for (let index = 0; index < words.length; index++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[index] = state;
  }
  return new Uint8Array(words.buffer, 0, sizeBytes);
}

function makeDefinedServer(): FaultServer {
  const server = new FaultServer();
  server.cdc1MaxBytes = 2 ** 30;
  server.chunkBytes = 8 * MIB;
  return server;
}

/** Whether the server has this content; on large content `toEqual` takes half a minute. */
function holds(server: FaultServer, name: string, content: Uint8Array): boolean {
  const stored = server.files.get(name);
  return stored?.length === content.length && stored.every((byte, index) => byte === content[index]);
}

/** Return how many parts the store took in the last session, and how many it has. */
function countParts(server: FaultServer): { sent: number; all: number } {
  const session = [...server.sessions.values()].at(-1);
  const sent = server.took.filter((part) => part.startsWith(`${session?.id}/`)).length;
  return { sent, all: session?.stored.size ?? 0 };
}

const noise = makeNoise(26 * MIB, 7);
const edited = new Uint8Array([1, ...noise]);

test("file with a byte inserted sends the chunks around it alone", async () => {
  const server = makeDefinedServer();
  await server.upload({ "a.bin": new Blob([noise]) });
  expect(countParts(server).sent).toBe(countParts(server).all);
  expect(countParts(server).all).toBeGreaterThan(2);
  const shown: number[] = [];
  const onReport = (report: Report) => report.type === "sending" && shown.push(report.sentBytes);
  await server.upload({ "b.bin": new Blob([edited]) }, { onReport });
  expect(holds(server, "b.bin", edited)).toBe(true);
  expect(countParts(server).sent).toBeLessThanOrEqual(2);
  expect(shown.at(-1)).toBe(edited.length);
});

test.each(["lose", "stall"] as const)("chunks whose reuse is to %s are sent", async (reuse) => {
  const server = makeDefinedServer();
  await server.upload({ "a.bin": new Blob([noise]) });
  server.reuse = reuse;
  await server.upload({ "b.bin": new Blob([edited]) });
  expect(holds(server, "b.bin", edited)).toBe(true);
  expect(countParts(server).sent).toBe(countParts(server).all);
  expect(listTwice(server.took)).toEqual([]);
});

test.each(["known", "unknown"])("upload in listed chunks continues where its session is %s", async (kind) => {
  const server = makeDefinedServer();
  const uploadIds: Record<string, string> = {};
  const stopped = Promise.withResolvers<void>();
  server.hangAfter(2, stopped.resolve);
  await server.upload({ "a.bin": new Blob([noise]) }, { uploadIds, until: stopped.promise });
  await eventually(() => expect(server.took).toHaveLength(2));
  server.beforePut = () => undefined;
  await server.upload({ "a.bin": new Blob([noise]) }, kind === "known" ? { uploadIds } : {});
  expect(holds(server, "a.bin", noise)).toBe(true);
  expect(server.sessions.size).toBe(1);
  expect(listTwice(server.took)).toEqual([]);
});

test("session with listed chunks of another file is never completed with this one", async () => {
  const server = makeDefinedServer();
  const uploadIds: Record<string, string> = {};
  const stopped = Promise.withResolvers<void>();
  server.hangAfter(2, stopped.resolve);
  await server.upload({ "a.bin": new Blob([noise]) }, { uploadIds, until: stopped.promise });
  server.beforePut = () => undefined;
  const other = makeNoise(noise.length, 8);
  await server.upload({ "a.bin": new Blob([other]) }, { uploadIds });
  expect(holds(server, "a.bin", other)).toBe(true);
  expect([...server.sessions.values()].map(({ state }) => state)).toEqual(["aborted", "completed"]);
});

test("file of fixed chunks that was edited in place keeps them, and sends the one that changed", async () => {
  const server = makeDefinedServer();
  server.cdc1MaxBytes = 0;
  await server.upload({ "a.bin": new Blob([noise]) });
  server.cdc1MaxBytes = 2 ** 30;
  server.manifests.set("a.bin", { chunking: `fixed:${8 * MIB}`, size_bytes: noise.length });
  const changed = noise.slice();
  changed[20 * MIB] = 255 - (changed[20 * MIB] ?? 0);
  await server.upload({ "a.bin": new Blob([changed]) }, { decide: async () => "replace" as const });
  expect(holds(server, "a.bin", changed)).toBe(true);
  expect(countParts(server)).toEqual({ sent: 1, all: 4 });
});

test("link has fixed chunks, whatever the account may have", async () => {
  const server = makeDefinedServer();
  await server.upload({ "a.bin": new Blob([noise]) }, { target: LINK });
  expect(holds(server, "a.bin", noise)).toBe(true);
  expect(countParts(server)).toEqual({ sent: 4, all: 4 });
});
