// Live updates: what other browsers, people and jobs change appears in the page without a reload.

import { isProblem, isRetryable, type Schemas, watchEvents } from "dropbox-api-client";
import { client, queryClient } from "../lib/client.ts";
import { Refresher } from "./refresher.ts";

const RETRY_MS = 2000;
/** A list may be read this long before its answer arrives. */
const SLACK_MS = 10_000;

/**
 * Refresh the queries that the account's events concern, until the signal or the end of the session.
 *
 * `begin`, of `performance.now()`: when the page began to read what it shows.
 */
export async function followChanges(begin: number, signal: AbortSignal): Promise<void> {
  const refresher = new Refresher(queryClient);
  while (!signal.aborted) {
    try {
      const { events, cursor } = await readEventsSince(begin, signal);
      for (const event of events) refresher.add(event);
      for await (const { event } of watchEvents(client, { cursor, signal })) refresher.add(event);
    } catch (error) {
      if (isProblem(error, "cursor-expired")) {
        begin = performance.now();
        void queryClient.invalidateQueries();
      } else if (signal.aborted || !isRetryable(error)) return;
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
}

/** Read the events since a moment of `performance.now()`, by the clock of the server. */
async function readEventsSince(begin: number, signal: AbortSignal): Promise<Schemas["EventList"]> {
  const { response } = await client.api.GET("/v1/events/cursor", { signal });
  const now = Date.parse(response.headers.get("Date") ?? new Date().toUTCString());
  const since = new Date(now - (performance.now() - begin) - SLACK_MS).toISOString();
  return (await client.api.GET("/v1/events", { params: { query: { since } }, signal })).data;
}
