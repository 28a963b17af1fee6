// The changes of an account as they happen: one stream for all tabs of a browser.
//
// The tab that holds a lock, the leader, reads the stream and sends each event to all readers, its own included, together
// with the cursors before and after it. A reader takes an event that continues its own position. Any other message means
// that it has missed something: it reads the journal from its own cursor. So a reader gets each event once, in order,
// whatever happens to the leader, the connection and the messages.

import type { ChangeEvent, Client } from "./api.ts";
import { readPieces } from "./bodies.ts";
import { isRetryable } from "./problems.ts";
import { readServerSentEvents } from "./server_sent_events.ts";
import { type Channel, getLocks, openChannel } from "./tabs.ts";
import { computeBackoff, pause } from "./wait.ts";

export interface Change {
  readonly event: ChangeEvent;
  /** Position for `watchEvents` in a later visit. It may repeat up to one page of events, and misses none. */
  readonly cursor: string;
}

export interface WatchOptions {
  /** Begin after this position; without it, now. */
  cursor?: string;
  /** Ends the iteration. */
  signal?: AbortSignal;
}

interface Message extends Change {
  /** Position before the event; `cursor` is the one after it. */
  readonly after: string;
}

/** The server sends a comment every 15 s. */
const SILENCE_MS = 45_000;
/** A stream that lived this long was no failure. */
const LIVED_MS = 10_000;
/** Further events wait in the journal. */
const QUEUE_LIMIT = 1000;

/**
 * Iterate over the changes of the account's files as they happen. The client reconnects by itself.
 *
 * Throws `cursor-expired` when the journal no longer reaches back to the cursor; `error.problem.reason` is `retention`, or
 * `restored` after a restore of the server's database. Then get `GET /v1/events/cursor`, and list the files again.
 */
export async function* watchEvents(client: Client, options: WatchOptions = {}): AsyncGenerator<Change, void> {
  const closing = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, closing.signal]) : closing.signal;
  try {
    const cursor = options.cursor ?? (await repeat(() => getNewestCursor(client, signal), signal));
    await client.auth.getToken(); // so that the user is known
    const reader = new Reader(client, cursor, signal);
    yield* reader.read();
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    closing.abort();
  }
}

async function getNewestCursor(client: Client, signal: AbortSignal): Promise<string> {
  return (await client.api.GET("/v1/events/cursor", { signal })).data.cursor;
}

class Reader {
  readonly #name: string;
  readonly #channel: Channel<Message>;
  readonly #queue: Change[] = [];
  /** The journal has events that are not in the queue. */
  #isBehind = true;
  #isFetching = false;
  #wake: () => void = () => {};

  constructor(
    private readonly client: Client,
    private cursor: string,
    private readonly signal: AbortSignal,
  ) {
    // Tabs of other users, and clients whose user is not known, have streams of their own.
    const group = getLocks() && client.auth.userId ? client.auth.userId : Math.random().toString(36);
    this.#name = `dropbox-api events ${client.baseUrl} ${group}`;
    this.#channel = openChannel(this.#name, (message) => this.#receive(message));
    const { userId } = client.auth;
    // A stream outlives a sign-out for up to a minute, a request does not: reading the journal ends the iteration.
    const unsubscribe = client.auth.subscribe?.(() => client.auth.userId !== userId && this.#fallBehind());
    signal.addEventListener("abort", () => {
      unsubscribe?.();
      this.#channel.close();
      this.#wake();
    });
  }

  async *read(): AsyncGenerator<Change, void> {
    let isLeading = false;
    while (!this.signal.aborted) {
      if (this.#queue.length > 0) yield this.#queue.shift()!;
      else if (this.#isBehind) await repeat(() => this.#readJournal(), this.signal);
      else if (!isLeading) {
        isLeading = true;
        void this.#lead();
      } else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }

  #receive({ after, cursor, event }: Message): void {
    if (cursor === this.cursor) return;
    const isNext = after === this.cursor && !this.#isBehind && !this.#isFetching;
    if (isNext && this.#queue.length < QUEUE_LIMIT) {
      this.#queue.push({ event, cursor });
      this.cursor = cursor;
      this.#wake();
    } else {
      this.#fallBehind();
    }
  }

  /** Read the journal next. */
  #fallBehind(): void {
    this.#isBehind = true;
    this.#wake();
  }

  async #readJournal(): Promise<void> {
    const query = { cursor: this.cursor };
    this.#isBehind = false;
    this.#isFetching = true;
    try {
      const { data } = await this.client.api.GET("/v1/events", { params: { query }, signal: this.signal });
      const end = data.events.length - 1;
      for (const [index, event] of data.events.entries()) {
        this.#queue.push({ event, cursor: index === end ? data.cursor : query.cursor });
      }
      this.cursor = data.cursor;
      this.#isBehind ||= data.has_more;
    } catch (error) {
      this.#isBehind = true;
      throw error;
    } finally {
      this.#isFetching = false;
    }
  }

  /** Wait for the lock, then read the stream for all tabs until the end. */
  async #lead(): Promise<void> {
    const locks = getLocks();
    const lead = () => this.#stream().catch(() => {});
    await (locks ? locks.request(this.#name, { signal: this.signal }, lead).catch(() => {}) : lead());
  }

  async #stream(): Promise<void> {
    const sender = openChannel<Message>(this.#name, () => {});
    let cursor = this.cursor;
    for (let failures = 0; !this.signal.aborted; ) {
      const begin = Date.now();
      let cause: unknown;
      try {
        for await (const change of openStream(this.client, cursor, this.signal)) {
          sender.post({ after: cursor, ...change });
          cursor = change.cursor;
        }
      } catch (error) {
        cause = error;
        if (!isRetryable(error)) {
          this.#fallBehind(); // the same error, if it lasts, ends the iteration
        }
      }
      failures = Date.now() - begin > LIVED_MS ? 1 : failures + 1;
      await pause(computeBackoff(failures, cause), this.signal);
    }
    sender.close();
  }
}

/** Connect once, and give the events until the connection ends. */
async function* openStream(client: Client, cursor: string, signal: AbortSignal): AsyncGenerator<Change> {
  const answer = await client.send(`/v1/events/stream?cursor=${encodeURIComponent(cursor)}`, { signal });
  for await (const { id, event, data } of readServerSentEvents(readPieces(answer, SILENCE_MS, signal))) {
    if (event === "end") return; // its problem comes again when the client reconnects
    yield { event: JSON.parse(data) as ChangeEvent, cursor: id };
  }
}

/** Repeat a request while it may succeed later. */
async function repeat<Answer>(request: () => Promise<Answer>, signal: AbortSignal): Promise<Answer> {
  for (let failures = 1; ; failures++) {
    try {
      return await request();
    } catch (error) {
      if (!isRetryable(error) || signal.aborted) throw error;
      await pause(computeBackoff(failures, error), signal);
    }
  }
}
