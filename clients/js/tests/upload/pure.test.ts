// Chunks, ranges, lanes, batches of signing, retries and the pace: without I/O.

import fc from "fast-check";
import { expect, test, vi } from "vitest";
import planVectors from "../../../../tests/vectors/chunk_plans.json" with { type: "json" };
import rangeVectors from "../../../../tests/vectors/ranges.json" with { type: "json" };
import { CDC1, Chunks, expectChunkBytes, fixed, parseRanges } from "../../src/upload/chunks.ts";
import { Connectivity } from "../../src/upload/connectivity.ts";
import { Lanes, MAX_LANES, MIN_LANES } from "../../src/upload/lanes.ts";
import { Pace } from "../../src/upload/pace.ts";
import { Backoff, RetryWindow, retry } from "../../src/upload/retry.ts";
import { SigningBatches } from "../../src/upload/signing.ts";

test("ranges are read as the shared vectors say, and everything else is refused", () => {
  for (const { numbers, text } of rangeVectors.ranges) {
    expect(parseRanges(text)).toEqual([...new Set(numbers)].toSorted((one, other) => one - other));
  }
  for (const text of rangeVectors.refused) expect(() => parseRanges(text), text).toThrow(RangeError);
  for (const { text, max_count } of rangeVectors.too_many)
    expect(() => parseRanges(text, max_count), text).toThrow(RangeError);
});

test("chunks cover the file once as the shared plans say", () => {
  for (const plan of planVectors.plans.filter(({ chunk_count }) => chunk_count)) {
    const chunks = new Chunks(plan.size_bytes, fixed(plan.chunk_size_bytes));
    expect([plan.name, chunks.count, chunks.bytesOf(chunks.count)]).toEqual([
      plan.name,
      plan.chunk_count,
      plan.last_chunk_bytes,
    ]);
    const isDefault = plan.limits === "aws" && plan.strategy === "multipart" && !plan.requested_chunk_size_bytes;
    if (isDefault && plan.requested_strategy === null && plan.chunk_count <= 9000) {
      expect([plan.name, expectChunkBytes(plan.size_bytes, 8 * 1024 ** 2)]).toEqual([plan.name, plan.chunk_size_bytes]);
    }
  }
});

test("plan that the content defines grows until it covers the file", () => {
  const chunks = new Chunks(20, CDC1);
  expect([chunks.count, chunks.isComplete]).toEqual([0, false]);
  chunks.append(12);
  expect([chunks.count, chunks.isComplete]).toEqual([1, false]);
  chunks.append(8);
  expect([1, 2].map((number) => [chunks.offsetOf(number), chunks.bytesOf(number)])).toEqual([
    [0, 12],
    [12, 8],
  ]);
  expect(chunks.isComplete).toBe(true);
  expect(() => new Chunks(20, "newer")).toThrow(RangeError);
});

const signal = new AbortController().signal;

test("lanes stay between their bounds, and never more are held than the limit allowed", async () => {
  const step = fc.oneof(
    fc.record({ ms: fc.integer({ min: 1, max: 5000 }), bytes: fc.integer({ min: 1, max: 1e8 }) }),
    fc.constant("refuse" as const),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      let now = 0;
      const lanes = new Lanes(() => now);
      for (const step of steps) {
        const held = await Promise.all(Array.from({ length: lanes.limit }, () => lanes.acquire(signal)));
        let isEarly = true;
        const extra = lanes.acquire(signal).then((free) => {
          expect(isEarly).toBe(false);
          free();
        });
        const before = lanes.limit;
        now += step === "refuse" ? 2000 : step.ms;
        if (step === "refuse") lanes.recordRefusal();
        await Promise.resolve();
        isEarly = false;
        for (const free of held) {
          if (step !== "refuse") lanes.recordPart(step.bytes);
          free();
          free(); // frees once
        }
        await extra;
        if (step === "refuse") expect(lanes.limit).toBe(Math.max(MIN_LANES, Math.floor(before / 2)));
        expect(lanes.limit).toBeGreaterThanOrEqual(MIN_LANES);
        expect(lanes.limit).toBeLessThanOrEqual(MAX_LANES);
      }
    }),
    { numRuns: 30 },
  );
});

test("lanes grow while that raises the throughput, and a wait for one ends with its signal", async () => {
  let now = 0;
  const lanes = new Lanes(() => now);
  for (let part = 0; part < 30; part++) {
    now += 1000 / lanes.limit; // a link that takes what it gets
    lanes.recordPart(1e6);
  }
  expect(lanes.limit).toBe(MAX_LANES);
  const held = await Promise.all(Array.from({ length: MAX_LANES }, () => lanes.acquire(signal)));
  const stopping = new AbortController();
  const waiting = lanes.acquire(stopping.signal);
  stopping.abort(new Error("paused"));
  await expect(waiting).rejects.toThrow("paused");
  held[0]?.();
  await expect(lanes.acquire(signal)).resolves.toBeTypeOf("function");
});

test("signing begins with two chunks, waits for full batches while parts are in flight, and follows the link", () => {
  const batches = new SigningBatches(8 * 1024 ** 2);
  const ask = (ready: number, inFlight: number, left = 1000) => batches.choose({ ready, left, inFlight, lanes: 4 });
  expect([ask(0, 0), ask(1, 0), ask(5, 0), ask(1, 1), ask(2, 1), ask(5, 9)]).toEqual([0, 1, 2, 0, 2, 0]);
  for (let round = 0; round < 10; round++) batches.grow(true, null);
  expect(ask(1000, 0)).toBe(16); // while hashing
  for (let round = 0; round < 10; round++) batches.grow(false, null);
  expect(ask(1000, 0)).toBe(500);
  batches.grow(false, 1024 ** 2); // a slow link uses a URL within ten minutes
  expect(ask(1000, 0)).toBe(75);
  expect(ask(3, 1, 3)).toBe(3);
});

test("backoff doubles its ceiling with full jitter, honours Retry-After, and gives up without progress", () => {
  let now = 0;
  const window = new RetryWindow(600_000, () => now);
  const backoff = new Backoff(window, () => 1);
  const pauses = Array.from({ length: 8 }, () => backoff.nextPauseMs());
  expect(pauses).toEqual([250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000]);
  expect(new Backoff(window, () => 0).nextPauseMs(7000)).toBe(7000);
  now = 599_999;
  expect(backoff.nextPauseMs()).toBeNull();
  window.renew(); // another part has arrived
  expect(backoff.nextPauseMs()).toBe(15_000);
});

test("retry without a network waits for its return, and that time does not count", async () => {
  let now = 0;
  const connectivity = new Connectivity(false);
  const waits: string[] = [];
  let attempts = 0;
  const result = retry(
    {
      window: new RetryWindow(1000, () => now),
      connectivity,
      signal,
      onWait: (reason) => {
        waits.push(reason);
        now += 100_000;
        queueMicrotask(() => connectivity.setOnline(true));
      },
      readRetry: () => 0,
    },
    async () => {
      attempts += 1;
      if (attempts === 1) throw new Error("no network");
      return "sent";
    },
  );
  expect(await result).toBe("sent");
  expect(waits).toEqual(["offline"]);
});

test("retry in a browser that errs about its network makes an attempt now and then", async () => {
  vi.useFakeTimers();
  try {
    let attempts = 0;
    const connectivity = new Connectivity(false);
    const result = retry(
      { window: new RetryWindow(), connectivity, signal, onWait: () => undefined, readRetry: () => 0 },
      async () => {
        attempts += 1;
        if (attempts < 3) throw new Error("no answer");
        return "sent";
      },
    );
    await vi.advanceTimersByTimeAsync(60_000);
    expect(attempts).toBe(2);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(await result).toBe("sent");
  } finally {
    vi.useRealTimers();
  }
});

test("estimate takes the longer of bytes and files", () => {
  const pace = new Pace();
  expect(pace.estimateS(1, 1)).toBeNull();
  for (let second = 0; second <= 60; second++) pace.record(second, second * 1000, second * 10, 1000);
  expect(pace.rate).toBeCloseTo(1000);
  expect(pace.estimateS(5000, 1)).toBeCloseTo(5);
  expect(pace.estimateS(5000, 900)).toBeCloseTo(90);
  for (let second = 61; second <= 120; second++) pace.record(second, 1e9 + second * 1000, second * 10, 1001);
  expect(pace.rate).toBeCloseTo(1000); // a file that another tab has half sent is no progress
  pace.reset();
  expect(pace.rate).toBeNull();
});
