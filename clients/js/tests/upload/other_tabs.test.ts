// Tabs that show each other's uploads: what they show, and where their commands go.

import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { eventually } from "../support/eventually.ts";
import { EnginePage, FakePage } from "./support/page.ts";

const FAILED = { type: "failed", failure: { code: "connection", detail: "no answer" } } as const;

let tabs: EnginePage[];

beforeEach(() => {
  new FakePage();
  tabs = [];
});
afterEach(async () => {
  await Promise.all(tabs.map(({ uploader }) => uploader.close()));
  vi.unstubAllGlobals();
});

async function openTab(owner: string): Promise<EnginePage> {
  const tab = new EnginePage({ owner });
  tabs.push(tab);
  await tab.uploader.ready;
  return tab;
}

/** Return the uploads of a tab, those of other tabs with a star. */
function show({ uploader }: EnginePage): string[] {
  return uploader
    .getSnapshot()
    .items.map(({ name, status, isOfOtherTab }) => `${name}${isOfOtherTab ? "*" : ""} ${status}`);
}

test("uploads of one tab are shown in the others, of before and after they opened, and to no other account", async () => {
  const owner = crypto.randomUUID();
  const first = await openTab(owner);
  const [a] = await first.add("a");
  const second = await openTab(owner);
  const stranger = await openTab(crypto.randomUUID());
  await eventually(() => expect(show(second)).toEqual(["a* queued"]));
  const [b] = await first.add("b");
  first.report(a, { type: "done", fileId: "f" });
  first.report(b, { type: "sending", sentBytes: 1 });
  await eventually(() => expect(show(second)).toEqual(["a* done", "b* sending"]));
  expect(second.uploader.getSnapshot()).toMatchObject({ sizeBytes: 2, sentBytes: 2, isRunning: true });
  expect(second.runs).toEqual([]);
  expect(show(stranger)).toEqual([]);
});

test("commands for uploads of another tab show at once, and take effect where they are", async () => {
  const owner = crypto.randomUUID();
  const first = await openTab(owner);
  const second = await openTab(owner);
  const [id = ""] = await first.add("a");
  await eventually(() => expect(show(second)).toEqual(["a* queued"]));

  second.uploader.pauseAll();
  expect(show(second)).toEqual(["a* paused"]);
  await eventually(() => expect(show(first)).toEqual(["a paused"]));
  expect(first.received.at(-1)).toEqual({ type: "stop", ids: [id] });

  second.uploader.resume(id);
  await eventually(() => expect(first.runs).toEqual(["a 0", "a 1"]));
  first.report(id, FAILED);
  await eventually(() => expect(show(second)).toEqual(["a* failed"]));
  second.uploader.retryAll();
  second.uploader.retryAll();
  await eventually(() => expect(first.runs).toEqual(["a 0", "a 1", "a 2"]));

  second.uploader.cancel(id);
  await eventually(() => expect(first.received.at(-1)).toMatchObject({ type: "cancel", id }));
  await eventually(() => {
    second.uploader.clear(); // what the first tab told before the command may have come after it
    expect(show(second)).toEqual([]);
  });
  await eventually(() => expect(show(first)).toEqual([]));
});

test("command that comes too late leaves what the owner of the upload shows", async () => {
  const owner = crypto.randomUUID();
  const first = await openTab(owner);
  const second = await openTab(owner);
  const [id] = await first.add("a");
  await eventually(() => expect(show(second)).toEqual(["a* queued"]));
  first.report(id, { type: "done", fileId: "f" });
  second.uploader.pauseAll();
  expect(show(second)).toEqual(["a* paused"]);
  await eventually(() => expect(show(second)).toEqual(["a* done"]));
  expect(show(first)).toEqual(["a done"]);
});

test("uploads of a tab that has closed are shown no longer where nothing can continue them", async () => {
  const owner = crypto.randomUUID();
  const first = await openTab(owner);
  const second = await openTab(owner);
  await first.add("a"); // there is no storage: it is remembered nowhere
  await eventually(() => expect(show(second)).toEqual(["a* queued"]));
  await first.uploader.close();
  await eventually(() => expect(show(second)).toEqual([]));
});
