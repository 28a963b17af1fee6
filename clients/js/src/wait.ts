// Waits between attempts.

import { ApiProblem } from "./problems.ts";

const FIRST_MS = 500;
const LONGEST_MS = 30_000;

/**
 * Return the milliseconds to wait after this number of failures in a row, the first included: random, so that clients do
 * not repeat at once together, and at least what the server asked for.
 */
export function computeBackoff(failures: number, error?: unknown, random = Math.random()): number {
  const asked = error instanceof ApiProblem ? (error.retryAfterS ?? 0) * 1000 : 0;
  return asked + random * Math.min(LONGEST_MS, FIRST_MS * 2 ** failures);
}

/** Wait, at most until the browser is online again or the signal aborts. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(finish, ms);
    globalThis.addEventListener?.("online", finish);
    signal?.addEventListener("abort", finish);
    if (signal?.aborted) finish();
    function finish(): void {
      clearTimeout(timer);
      globalThis.removeEventListener?.("online", finish);
      signal?.removeEventListener("abort", finish);
      resolve();
    }
  });
}

/** Wait for a promise, at most until the signal aborts: then throw its reason. */
export function orAborted<Result>(promise: Promise<Result>, signal: AbortSignal): Promise<Result> {
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  signal.addEventListener("abort", abort);
  if (signal.aborted) abort();
  return Promise.race([promise, aborted.promise]).finally(() => signal.removeEventListener("abort", abort));
}
