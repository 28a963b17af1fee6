// Events as people read them.

import type { ChangeEvent, RemoteFile } from "dropbox-api-client";
import { expect, test } from "vitest";
import { groupEvents } from "./groups.ts";

test("events of one action are one entry, others stay apart", () => {
  const events = [
    event("file.created", "c", "12:02"),
    event("file.created", "b", "12:01"),
    event("file.verified", "b", "12:01"),
    event("file.created", "a", "12:00"),
    event("file.created", "earlier", "11:00"),
    event("file.trashed", "x", "10:59"),
    event("file.created", "y", "10:58", "other folder"),
    event("share.granted", "y", "10:57"),
    event("share.granted", "y", "10:56"),
  ];
  expect(groupEvents(events).map(({ entries }) => entries.map(idsOf))).toEqual([
    [["c", "b", "a"], ["earlier"], ["x"], ["y"], ["y"], ["y"]],
  ]);
});

test("each day has its own entries", () => {
  const events = [
    event("file.created", "b", "00:01"),
    { ...event("file.created", "a", "23:59"), at: "2026-11-29T23:59:00" },
  ];
  expect(groupEvents(events).map(({ entries }) => entries.map(idsOf))).toEqual([[["b"]], [["a"]]]);
});

function event(kind: ChangeEvent["kind"], id: string, time: string, parent_id = "folder"): ChangeEvent {
  const file = { id, parent_id } as RemoteFile;
  return { id: kind + id + time, kind, file_id: id, at: `2026-11-30T${time}:00`, file, actor: null, detail: {} };
}

function idsOf({ events }: { events: readonly ChangeEvent[] }): string[] {
  return events.map(({ file_id }) => file_id);
}
