// What ends or redirects an upload.

import { ApiProblem, ConnectionProblem, isRetryable } from "../problems.ts";
import type { Failure } from "./machine.ts";

/** Failures that this client finds; those of the API have their problem code. */
export type OwnCode =
  | "file-changed" // the file changed since it was picked
  | "file-unreadable" // the browser cannot read the file
  | "folder-refused" // the server does not make a folder on the way to the file
  | "connection" // no answer, for longer than retries last
  | "store-refused" // the store refused what the server signed
  | "gave-up"; // sessions ended or lost parts again and again

/** An upload cannot go on. */
export class UploadError extends Error {
  override readonly name = "UploadError";

  constructor(
    readonly code: OwnCode,
    readonly detail: string,
  ) {
    super(detail);
  }
}

/** The store is away or overloaded: the same request may succeed later. */
export class StoreBusy extends Error {
  override readonly name = "StoreBusy";
}

/** The store does not know the multipart upload: ask the server about the session. */
export class SessionGone extends Error {
  override readonly name = "SessionGone";
}

/** The session ended before it was complete: a new one may succeed. */
export class SessionLost extends Error {
  override readonly name = "SessionLost";
}

/** The session has chunks of another file: it can never complete with this one. */
export class OtherContent extends Error {
  override readonly name = "OtherContent";
}

/** Return the seconds of Retry-After (0 without) of an error after which another attempt may succeed, else null. */
export function readRetry(error: unknown): number | null {
  if (error instanceof StoreBusy || error instanceof ConnectionProblem) return 0;
  if (!(error instanceof ApiProblem)) return null;
  return isRetryable(error) ? (error.retryAfterS ?? 0) : null;
}

/** Describe what ended an upload. */
export function describeFailure(error: unknown): Failure {
  if (error instanceof UploadError) return { code: error.code, detail: error.detail };
  if (error instanceof ApiProblem) return { code: error.code, detail: error.detail };
  if (error instanceof ConnectionProblem || error instanceof StoreBusy) {
    return { code: "connection", detail: error.message };
  }
  return { code: "internal-error", detail: error instanceof Error ? error.message : String(error) };
}
