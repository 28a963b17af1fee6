// Which queries an event refreshes.

import type { ChangeEvent, RemoteFile } from "dropbox-api-client";
import { expect, test } from "vitest";
import { describe, isAffected } from "./refresher.ts";

const inFolder = event("file.created", "new", { parent_id: "folder", path: "/Trips/new.txt" });
const inRoot = event("file.created", "new", { parent_id: "top", path: "/new.txt" });
const trashed = event("file.trashed", "old", null);

test.each<[string, ChangeEvent, readonly unknown[], unknown, boolean]>([
  ["list of the folder", inFolder, ["user", "folder", "folder", "name"], undefined, true],
  ["list of another folder", inFolder, ["user", "folder", "other", "name"], pageOf("old"), false],
  ["list of the top folder", inRoot, ["user", "folder", "root", "name"], undefined, true],
  ["list of the top folder, for a file below", inFolder, ["user", "folder", "root", "name"], undefined, false],
  ["list that the file has left", trashed, ["user", "folder", "other", "name"], pageOf("old"), true],
  ["revisions of the file", trashed, ["user", "file", "old", "revisions"], undefined, true],
  ["another file", trashed, ["user", "file", "new"], undefined, false],
  ["list of the whole account", trashed, ["user", "trash"], undefined, true],
  ["settings of the account", trashed, ["user", "passkeys"], undefined, false],
])("event refreshes %s: %#", (_, change, queryKey, data, expected) => {
  const query = { queryKey, state: { data } } as Parameters<typeof isAffected>[0];
  expect(isAffected(query, describe([change]))).toBe(expected);
});

function event(kind: ChangeEvent["kind"], file_id: string, file: Partial<RemoteFile> | null): ChangeEvent {
  return { id: file_id, kind, file_id, at: "2026-11-30T12:00:00Z", file: file as RemoteFile, actor: null, detail: {} };
}

function pageOf(...ids: string[]) {
  return { pages: [{ items: ids.map((id) => ({ id })), next_cursor: null }], pageParams: [null] };
}
