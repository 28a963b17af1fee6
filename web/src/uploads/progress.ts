// What the tray says about uploads. Pure.

import type { UploadItem, UploadSnapshot } from "dropbox-api-client/upload";

export interface Counts {
  total: number;
  done: number;
  failed: number;
  skipped: number;
  paused: number;
  running: number;
  /** Files that must be chosen again. */
  needed: number;
}

const ENDED = new Set<UploadItem["status"]>(["done", "skipped", "failed", "cancelled"]);

export function countItems(items: readonly UploadItem[]): Counts {
  const counts: Counts = { total: 0, done: 0, failed: 0, skipped: 0, paused: 0, running: 0, needed: 0 };
  for (const { status } of items) {
    if (status === "cancelled") continue;
    counts.total += 1;
    if (status === "done") counts.done += 1;
    else if (status === "failed") counts.failed += 1;
    else if (status === "skipped") counts.skipped += 1;
    else if (status === "paused") counts.paused += 1;
    else if (status === "needs-file") counts.needed += 1;
    else counts.running += 1;
  }
  return counts;
}

/** Return the share of all bytes that is sent, in percent; of the files where all are empty. */
export function percentOf({ items, sizeBytes, sentBytes }: UploadSnapshot): number {
  if (sizeBytes > 0) return Math.floor((100 * sentBytes) / sizeBytes);
  const { total, done } = countItems(items);
  return total ? Math.floor((100 * done) / total) : 0;
}

export function percentOfItem({ status, sizeBytes, sentBytes, checkedBytes }: UploadItem): number {
  if (status === "done") return 100;
  const bytes = status === "checking" ? checkedBytes : sentBytes;
  return sizeBytes > 0 ? Math.floor((100 * bytes) / sizeBytes) : 0;
}

/** Return the uploads in the order in which they concern a person: what needs an answer, what runs, the others. */
export function sortItems(items: readonly UploadItem[]): readonly UploadItem[] {
  const groups: UploadItem[][] = [[], [], [], []];
  for (const item of items) {
    if (item.status !== "cancelled") groups[rank(item)]?.push(item);
  }
  return groups[0]?.concat(...groups.slice(1)) ?? []; // ten times as fast as `flat`
}

function rank({ status }: UploadItem): number {
  if (status === "failed" || status === "needs-file" || status === "asking") return 0;
  if (status === "queued") return 2;
  return ENDED.has(status) ? 3 : 1;
}

export type Milestone = "none" | "start" | "25" | "50" | "75" | "end" | "failed";

/** Return what a screen reader should hear next; the same as before while there is nothing new. */
export function findMilestone(snapshot: UploadSnapshot): Milestone {
  const counts = countItems(snapshot.items);
  if (!counts.total) return "none";
  if (!snapshot.isRunning) {
    if (counts.failed) return "failed";
    return counts.done === 0 ? "none" : "end";
  }
  const percent = percentOf(snapshot);
  return percent >= 75 ? "75" : percent >= 50 ? "50" : percent >= 25 ? "25" : "start";
}
