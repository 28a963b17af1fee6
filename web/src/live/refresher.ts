// Turns events into refreshed queries: many events into few requests.

import type { Query, QueryClient, QueryKey } from "@tanstack/react-query";
import type { ChangeEvent, RemoteFile } from "dropbox-api-client";

/** Events of one change arrive together. */
const COLLECT_MS = 100;
/** Refreshing takes at most this part of the time, however many events arrive. */
const SHARE_OF_TIME = 0.25;

/** Refresh the queries that events concern, soon. */
export class Refresher {
  #events: ChangeEvent[] = [];
  #isRunning = false;

  constructor(private readonly queryClient: QueryClient) {}

  add(event: ChangeEvent): void {
    this.#events.push(event);
    if (!this.#isRunning) void this.#run();
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    await sleep(COLLECT_MS);
    while (this.#events.length > 0) {
      const begin = performance.now();
      const affected = describe(this.#events.splice(0));
      await this.queryClient.invalidateQueries({ predicate: (query) => isAffected(query, affected) });
      const tookMs = performance.now() - begin;
      await sleep(Math.max(COLLECT_MS, tookMs * (1 / SHARE_OF_TIME - 1)));
    }
    this.#isRunning = false;
  }
}

export interface Affected {
  /** Files and folders that changed. */
  readonly ids: ReadonlySet<string>;
  /** Folders that contain them now; `root` for the top folder of the reader. */
  readonly parentIds: ReadonlySet<string>;
}

export function describe(events: readonly ChangeEvent[]): Affected {
  return {
    ids: new Set(events.map(({ file_id }) => file_id)),
    parentIds: new Set(events.flatMap(({ file }) => (file ? foldersOf(file) : []))),
  };
}

function foldersOf({ parent_id, path }: RemoteFile): string[] {
  return [...(parent_id === null ? [] : [parent_id]), ...(path.lastIndexOf("/") === 0 ? ["root"] : [])];
}

/** Lists of the whole account: each event may change them. Only those that the page shows are requested again. */
const ACCOUNT_LISTS = new Set<unknown>([
  "me",
  "storage",
  "recent",
  "search",
  "trash",
  "activity",
  "shared-with-me",
  "shared-by-me",
  "contacts",
]);

/** Whether the data of a query may be other than before: `[user, subject, id]` is its key. */
export function isAffected({ queryKey, state }: Pick<Query, "queryKey" | "state">, affected: Affected): boolean {
  const [, subject, id] = queryKey as QueryKey;
  if (ACCOUNT_LISTS.has(subject)) return true;
  if (subject === "folder") {
    return affected.parentIds.has(String(id)) || affected.ids.has(String(id)) || contains(state.data, affected.ids);
  }
  return affected.ids.has(String(id));
}

/** Whether a list, as the server or `useInfiniteQuery` gives it, has one of these files: it may have left the list. */
function contains(data: unknown, ids: ReadonlySet<string>): boolean {
  if (typeof data !== "object" || data === null) return false;
  if ("pages" in data && Array.isArray(data.pages)) return data.pages.some((page) => contains(page, ids));
  if ("items" in data && Array.isArray(data.items))
    return data.items.some((item: { id?: string }) => ids.has(item.id ?? ""));
  return false;
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
