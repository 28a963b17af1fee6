// The states of one upload, and the events that change them. Pure.
//
//   queued -> checking -> sending -> completing -> done
//
// | status     | meaning |
// |------------|---------|
// | queued     | waits for its turn |
// | checking   | the file is read: the server needs its fingerprint before anything is sent |
// | sending    | bytes go to the store |
// | waiting    | the network, the server or the store does not answer: tried again by itself |
// | completing | everything is sent, the store assembles the file |
// | asking     | the name is taken: the page decides |
// | elsewhere  | another tab sends this content: its end is awaited |
// | paused     | by the user; also what an earlier visit left, where one click continues it |
// | needs-file | an earlier visit left it: the file must be picked again |
// | done, skipped, failed, cancelled | ended; `retry` starts a failed or skipped one again |
//
// Each start is a new `run`. Reports of a worker carry the run that they belong to, so that what arrives late, after a
// pause for instance, changes nothing.

export type Status =
  | "queued"
  | "checking"
  | "sending"
  | "waiting"
  | "completing"
  | "asking"
  | "elsewhere"
  | "paused"
  | "needs-file"
  | "done"
  | "skipped"
  | "failed"
  | "cancelled";

export interface Failure {
  /** A problem code of the API (`docs/problems.md`), or one of this client. */
  code: string;
  detail: string;
}

export interface UploadState {
  status: Status;
  run: number;
  sizeBytes: number;
  /** Bytes that the store has, or that are on their way. */
  sentBytes: number;
  /** Bytes that were read while `checking`. */
  checkedBytes: number;
  /** Why it is `waiting`. */
  reason: "offline" | "retrying" | null;
  failure: Failure | null;
  /** The file that has the content; null for an upload to a link. */
  fileId: string | null;
}

/** Reports of the worker about a run. */
export type Report =
  | { type: "checking"; checkedBytes: number }
  | { type: "sending"; sentBytes: number }
  | { type: "waiting"; reason: "offline" | "retrying" }
  | { type: "completing" }
  | { type: "asking" }
  | { type: "elsewhere" }
  | { type: "done"; fileId: string | null }
  | { type: "skipped" }
  | { type: "failed"; failure: Failure };

/** What the page asks for. */
export type Command = { type: "pause" | "resume" | "retry" | "cancel" | "provide-file" };

const RUNNING: readonly Status[] = [
  "queued",
  "checking",
  "sending",
  "waiting",
  "completing",
  "asking",
  "elsewhere",
] as const;

const ALLOWED: Record<Command["type"], readonly Status[]> = {
  pause: RUNNING,
  resume: ["paused"],
  retry: ["failed", "skipped"],
  cancel: [...RUNNING, "paused", "needs-file", "failed", "skipped"],
  "provide-file": ["needs-file"],
};

export function createState(sizeBytes: number, status: "queued" | "paused" | "needs-file" = "queued"): UploadState {
  return {
    status,
    run: 0,
    sizeBytes,
    sentBytes: 0,
    checkedBytes: 0,
    reason: null,
    failure: null,
    fileId: null,
  };
}

/** Whether a worker works on the upload, or is about to. */
export function isRunning({ status }: Pick<UploadState, "status">): boolean {
  return RUNNING.includes(status);
}

/** Whether the upload has ended. */
export function isEnded({ status }: Pick<UploadState, "status">): boolean {
  return status === "done" || status === "skipped" || status === "failed" || status === "cancelled";
}

export function isAllowed(state: UploadState, command: Command["type"]): boolean {
  return ALLOWED[command].includes(state.status);
}

/** Return the state after a command; the same object where the command is not allowed. */
export function applyCommand(state: UploadState, { type }: Command): UploadState {
  if (!isAllowed(state, type)) return state;
  switch (type) {
    case "pause":
      return { ...state, status: "paused", reason: null };
    case "cancel":
      return { ...state, status: "cancelled", reason: null, failure: null };
    default:
      return { ...state, status: "queued", run: state.run + 1, reason: null, failure: null, checkedBytes: 0 };
  }
}

/** Return the state after a report about `run`; the same object where the run is over. */
export function applyReport(state: UploadState, run: number, report: Report): UploadState {
  if (run !== state.run || !isRunning(state)) return state;
  const next = { ...state, status: report.type, reason: null };
  switch (report.type) {
    case "checking":
      return { ...next, checkedBytes: clamp(report.checkedBytes, state) };
    case "sending":
      return { ...next, sentBytes: clamp(report.sentBytes, state) };
    case "waiting":
      return { ...next, reason: report.reason };
    case "done":
      return { ...next, sentBytes: state.sizeBytes, fileId: report.fileId };
    case "failed":
      return { ...next, failure: report.failure };
    default:
      return next;
  }
}

function clamp(bytes: number, { sizeBytes }: UploadState): number {
  return Math.min(Math.max(0, bytes), sizeBytes);
}
