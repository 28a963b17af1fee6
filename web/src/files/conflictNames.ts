// Names of conflict copies, as the sync client makes them (`dropbox_client/sync/names.py`). The shared vectors keep both equal.

import type { RemoteFile } from "dropbox-api-client";
import { formatDay } from "../lib/format.ts";

export interface ConflictName {
  /** The name of the original. */
  plain: string;
  /** The device that kept its version under this name. */
  device: string;
  /** YYYY-MM-DD; perhaps no day of the calendar, since people name files, too. */
  day: string;
}

// U+FEFF is a space in JavaScript alone.
const MARK =
  / \(conflict copy of (?<device>[^()]+) (?<day>\d{4}-\d\d-\d\d)(?: \d+)?\)(?=(?:\.tar)?\.(?:[^.\s]|\uFEFF){1,16}$|$)/iu;

/** Return what the name of a conflict copy says; null for another name. */
export function parseConflictName(name: string): ConflictName | null {
  const { device, day } = MARK.exec(name)?.groups ?? {};
  return device === undefined || day === undefined ? null : { plain: name.replace(MARK, ""), device, day };
}

/** Return what the name of a file says, if it is a conflict copy. */
export function findConflict({ kind, name }: Pick<RemoteFile, "kind" | "name">): ConflictName | null {
  return kind === "file" ? parseConflictName(name) : null;
}

export function formatConflictDay(day: string): string {
  const begin = new Date(`${day}T00:00`);
  return Number.isNaN(begin.getTime()) ? day : formatDay(begin);
}
