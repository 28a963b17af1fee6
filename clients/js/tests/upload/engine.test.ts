// The page's side of the engine: what commands show and cause, what the browser is asked for, and who decides.

import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { holdTab } from "../../src/tabs.ts";
import type { Decision } from "../../src/upload/index.ts";
import { eventually } from "../support/eventually.ts";
import { EnginePage, FakePage } from "./support/page.ts";

let page: FakePage;

beforeEach(() => {
  page = new FakePage();
});
afterEach(() => {
  vi.unstubAllGlobals();
});

const FAILED = { type: "failed", failure: { code: "connection", detail: "no answer" } } as const;

test("command shows in the snapshot at once, so that a second click does nothing", async () => {
  const engine = new EnginePage();
  const [id] = await engine.add("a.txt");
  const seen: string[] = [];
  engine.uploader.subscribe(() => seen.push(...engine.statuses));
  engine.report(id, FAILED);
  page.draw();
  engine.uploader.retryAll();
  expect(engine.statuses).toEqual(["queued"]);
  engine.uploader.retryAll();
  await eventually(() => expect(engine.runs).toEqual(["a.txt 0", "a.txt 1"]));
  engine.uploader.pauseAll();
  engine.uploader.pauseAll();
  expect(engine.statuses).toEqual(["paused"]);
  engine.uploader.cancelAll();
  expect(engine.statuses).toEqual(["cancelled"]);
  engine.uploader.clear();
  expect(engine.statuses).toEqual([]);
  expect(seen).toEqual(["failed"]); // listeners wait for a frame
  expect(engine.received.filter(({ type }) => type === "stop")).toHaveLength(2); // the second one stops nothing
});

test("snapshot is the same object until something changes", async () => {
  const engine = new EnginePage();
  const [id] = await engine.add("a.txt");
  const before = engine.uploader.getSnapshot();
  page.draw();
  engine.uploader.resumeAll(); // nothing is paused
  expect(engine.uploader.getSnapshot()).toBe(before);
  engine.report(id, { type: "sending", sentBytes: 1 });
  expect(engine.uploader.getSnapshot()).not.toBe(before);
});

test("page that is hidden before its next frame is told of a change", async () => {
  const engine = new EnginePage();
  const [id] = await engine.add("a.txt");
  page.draw();
  const seen: string[] = [];
  engine.uploader.subscribe(() => seen.push(...engine.statuses));
  engine.report(id, { type: "done", fileId: "f" });
  page.visibilityState = "hidden";
  page.fire("visibilitychange");
  await eventually(() => expect(seen).toEqual(["done"]));
});

test("retry of all runs what has failed or was skipped again, and nothing else", async () => {
  const engine = new EnginePage();
  const [failed, skipped, done] = await engine.add("failed", "skipped", "done", "running");
  engine.report(failed, FAILED);
  engine.report(skipped, { type: "skipped" });
  engine.report(done, { type: "done", fileId: "f" });
  engine.uploader.retryAll();
  await eventually(() => expect(engine.runs.slice(4)).toEqual(["failed 1", "skipped 1"]));
  expect(engine.statuses).toEqual(["queued", "queued", "done", "queued"]);
});

test("screen stays on and closing is asked about exactly while uploads run", async () => {
  const engine = new EnginePage();
  await engine.uploader.ready;
  page.draw();
  expect(page.fire("beforeunload")).toBe(false);
  const [id] = await engine.add("a.txt");
  page.draw();
  await eventually(() => expect(page.wakeLocks).toHaveLength(1));
  expect(page.fire("beforeunload")).toBe(true);

  page.visibilityState = "hidden";
  page.wakeLocks.forEach(page.releaseWakeLock.bind(page));
  page.fire("visibilitychange");
  page.visibilityState = "visible";
  page.fire("visibilitychange");
  await eventually(() => expect(page.wakeLocks).toHaveLength(1));

  engine.report(id, { type: "done", fileId: "f" });
  page.draw();
  await eventually(() => expect(page.wakeLocks).toEqual([]));
  expect(page.fire("beforeunload")).toBe(false);
});

test("browser that refuses a wake lock uploads all the same", async () => {
  vi.stubGlobal("navigator", { onLine: true, wakeLock: { request: () => Promise.reject(new Error("low battery")) } });
  const engine = new EnginePage();
  await engine.add("a.txt");
  page.draw();
  expect(engine.runs).toEqual(["a.txt 0"]);
  expect(engine.statuses).toEqual(["queued"]);
});

test("taken names are asked about one at a time, and an answer for all holds until the queue is empty", async () => {
  const asked: string[] = [];
  let answer = Promise.withResolvers<Decision>();
  const engine = new EnginePage({
    onConflict: ({ item }) => {
      asked.push(item.name);
      return answer.promise;
    },
  });
  const ask = (number: number, id = "") =>
    engine.send({ type: "question", number, question: { type: "decide", id, run: 0, fileId: "f" } });
  const answers = () =>
    engine.received.flatMap((each) => (each.type === "answer" ? [[each.question, each.value]] : []));

  const ids = await engine.add("a", "b", "c");
  for (const [index, id] of ids.entries()) ask(index, id);
  await eventually(() => expect(asked).toEqual(["a"]));
  answer.resolve("skip");
  answer = Promise.withResolvers();
  await eventually(() => expect(asked).toEqual(["a", "b"]));
  answer.resolve({ choice: "replace", forAll: true });
  await eventually(() =>
    expect(answers()).toEqual([
      [0, "skip"],
      [1, "replace"],
      [2, "replace"],
    ]),
  );
  for (const id of ids) engine.report(id, { type: "done", fileId: "f" });
  page.draw();

  const [again] = await engine.add("d");
  ask(3, again);
  await eventually(() => expect(asked).toEqual(["a", "b", "d"]));
});

test("remaining time is unknown before anything is sent and while nothing runs", async () => {
  vi.spyOn(performance, "now").mockReturnValue(0);
  const engine = new EnginePage();
  const [id] = await engine.uploader.add([new File([new Uint8Array(1000)], "a.bin")]);
  const send = (sentBytes: number, second: number) => {
    vi.spyOn(performance, "now").mockReturnValue(second * 1000);
    engine.report(id, { type: "sending", sentBytes });
    return engine.uploader.getSnapshot().remainingS;
  };
  expect(engine.uploader.getSnapshot().remainingS).toBeNull();
  expect(send(0, 0)).toBeNull();
  expect(send(100, 1)).toBeCloseTo(9);
  expect(send(200, 2)).toBeCloseTo(8);
  engine.uploader.pauseAll();
  expect(engine.uploader.getSnapshot()).toMatchObject({ remainingS: null, rate: null });
  vi.restoreAllMocks();
});

test("worker that fails ends a wait for it, fails what runs, and is replaced for the next command", async () => {
  const engine = new EnginePage();
  const [first] = await engine.add("a", "b");
  engine.report(first, { type: "sending", sentBytes: 1 });
  engine.uploader.cancel(first ?? "");
  const cancelled = engine.uploader.cancelAll();
  await engine.add("c");
  engine.failWorker("out of memory");
  await cancelled;
  expect(engine.statuses).toEqual(["cancelled", "cancelled", "failed"]);
  expect(engine.uploader.getSnapshot().items[2]?.failure).toMatchObject({
    code: "worker-failed",
    detail: expect.stringContaining("out of memory"),
  });
  engine.received.length = 0;
  engine.uploader.retryAll();
  await eventually(() => expect(engine.received.map(({ type }) => type)).toEqual(["open", "run"]));
  expect(engine.statuses[2]).toBe("queued");
  engine.failWorker("again");
  expect(engine.statuses[2]).toBe("failed");
});

test("worker that is ended without an event is noticed by its lock", async () => {
  const engine = new EnginePage();
  await engine.add("a");
  const { name } = engine.received.find((each) => each.type === "open") ?? { name: "" };
  const ended = Promise.withResolvers<void>();
  await holdTab(name, ended.promise);
  engine.send({ type: "held", name });
  const cancelled = engine.uploader.cancelAll();
  await engine.add("b");
  ended.resolve();
  await cancelled;
  await eventually(() => expect(engine.statuses).toEqual(["cancelled", "failed"]));
});

test("uploader that closes ends a wait for its worker, and a later command waits for nothing", async () => {
  const engine = new EnginePage();
  await engine.add("a", "b");
  const cancelled = engine.uploader.cancelAll();
  await engine.uploader.close();
  await cancelled;
  await engine.uploader.cancelAll();
});
