// Retries: the pause before the next attempt, and when to give up.
//
// Full jitter: the pause before retry k is uniform between 0 and min(cap, base * 2^k), which spreads the retries of many
// clients. Source: AWS Architecture Blog, "Exponential Backoff And Jitter". Time without a network does not count.

import type { Connectivity } from "./connectivity.ts";

/** How long a transfer is retried without progress: long enough for a restart of the server or the store. */
export const RETRY_FOR_MS = 600_000;
const BASE_MS = 250;
const CAP_MS = 15_000;
/** Browsers err about the network: without news an attempt is made all the same. */
const OFFLINE_MS = 60_000;

/** The time without progress after which retries stop. All parts of one upload share one. */
export class RetryWindow {
  lastProgress = Number.NEGATIVE_INFINITY;

  constructor(
    readonly durationMs = RETRY_FOR_MS,
    readonly now: () => number = () => performance.now(),
  ) {}

  /** Restart the window after a success. */
  renew(): void {
    this.lastProgress = this.now();
  }
}

/** The pauses between attempts of one operation. */
export class Backoff {
  attempts = 0;
  private ceilingMs = BASE_MS;
  private failingSince: number | null = null;

  constructor(
    private readonly window: RetryWindow,
    private readonly random: () => number = Math.random,
    private readonly capMs = CAP_MS,
  ) {}

  /** Return the pause before the next attempt, null to give up. `atLeastMs` is the server's Retry-After. */
  nextPauseMs(atLeastMs = 0): number | null {
    const now = this.window.now();
    this.failingSince ??= now;
    this.attempts += 1;
    const pauseMs = atLeastMs + this.random() * this.ceilingMs;
    this.ceilingMs = Math.min(this.capMs, this.ceilingMs * 2);
    const until = Math.max(this.failingSince, this.window.lastProgress) + this.window.durationMs;
    return now + pauseMs > until ? null : pauseMs;
  }
}

export interface RetryContext {
  window: RetryWindow;
  connectivity: Connectivity;
  signal: AbortSignal;
  /** Called before each wait from the second one on, and while there is no network. */
  onWait: (reason: "offline" | "retrying") => void;
  /** Return the seconds of Retry-After (0 without) of an error after which another attempt may succeed, else null. */
  readRetry: (error: unknown) => number | null;
}

/** Run an operation until it succeeds. Throws its last error, or the signal's reason. */
export async function retry<Result>(context: RetryContext, operation: () => Promise<Result>): Promise<Result> {
  const { window, connectivity, signal, onWait, readRetry } = context;
  const backoff = new Backoff(window);
  for (;;) {
    signal.throwIfAborted();
    try {
      const result = await operation();
      window.renew();
      return result;
    } catch (error) {
      signal.throwIfAborted();
      const retryAfterS = readRetry(error);
      if (retryAfterS === null) throw error;
      if (!connectivity.isOnline) {
        onWait("offline");
        await connectivity.pause(OFFLINE_MS, signal);
        window.renew();
        continue;
      }
      const pauseMs = backoff.nextPauseMs(retryAfterS * 1000);
      if (pauseMs === null) throw error;
      if (backoff.attempts > 1) onWait("retrying");
      await connectivity.pause(pauseMs, signal);
    }
  }
}
