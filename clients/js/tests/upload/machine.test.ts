// The state machine against a model of what a page may rely on.

import fc from "fast-check";
import { expect, test } from "vitest";
import {
  applyCommand,
  applyReport,
  type Command,
  createState,
  isAllowed,
  isEnded,
  isRunning,
  type Report,
  type Status,
  type UploadState,
} from "../../src/upload/machine.ts";

const SIZE = 1000;

const reports: fc.Arbitrary<Report> = fc.oneof(
  fc.record({ type: fc.constant("checking" as const), checkedBytes: fc.integer({ min: -10, max: 2 * SIZE }) }),
  fc.record({ type: fc.constant("sending" as const), sentBytes: fc.integer({ min: -10, max: 2 * SIZE }) }),
  fc.record({
    type: fc.constant("waiting" as const),
    reason: fc.constantFrom("offline" as const, "retrying" as const),
  }),
  fc.constantFrom<Report>({ type: "completing" }, { type: "asking" }, { type: "elsewhere" }, { type: "skipped" }),
  fc.constantFrom<Report>({ type: "done", fileId: "f" }),
  fc.constantFrom<Report>({ type: "failed", failure: { code: "connection", detail: "x" } }),
);
const commands: fc.Arbitrary<Command> = fc.record({
  type: fc.constantFrom(
    "pause" as const,
    "resume" as const,
    "retry" as const,
    "cancel" as const,
    "provide-file" as const,
  ),
});
/** A report belongs to the run of now or to an earlier one. */
const steps = fc.array(fc.oneof(commands, fc.record({ report: reports, age: fc.integer({ min: 0, max: 2 }) })), {
  maxLength: 40,
});

function follow(state: UploadState, step: Command | { report: Report; age: number }): UploadState {
  return "type" in step ? applyCommand(state, step) : applyReport(state, state.run - step.age, step.report);
}

test("any order of commands and reports keeps the promises of the states", () => {
  const first = fc.constantFrom("queued" as const, "paused" as const, "needs-file" as const);
  fc.assert(
    fc.property(first, steps, (status, steps) => {
      let state = createState(SIZE, status);
      for (const step of steps) {
        const next = follow(state, step);
        expect(next.sentBytes).toBeGreaterThanOrEqual(0);
        expect(next.sentBytes).toBeLessThanOrEqual(SIZE);
        expect(next.failure !== null).toBe(next.status === "failed");
        expect(next.reason !== null).toBe(next.status === "waiting");
        if (next.status === "done") expect(next).toMatchObject({ sentBytes: SIZE, fileId: "f" });
        if ("report" in step) {
          // Late reports, and reports about what does not run, change nothing.
          if (step.age > 0 || !isRunning(state)) expect(next).toBe(state);
          expect(next.run).toBe(state.run);
        } else {
          // A command either begins a run or ends one; what is done stays done, what is cancelled stays cancelled.
          expect(next.run - state.run).toBe(next !== state && next.status === "queued" ? 1 : 0);
          if (state.status === "done" || state.status === "cancelled") expect(next).toBe(state);
        }
        state = next;
      }
    }),
    { numRuns: 200 },
  );
});

test("each status allows exactly its commands", () => {
  const allowed: Record<Status, string> = {
    queued: "pause cancel",
    checking: "pause cancel",
    sending: "pause cancel",
    waiting: "pause cancel",
    completing: "pause cancel",
    asking: "pause cancel",
    elsewhere: "pause cancel",
    paused: "resume cancel",
    "needs-file": "cancel provide-file",
    done: "",
    skipped: "retry cancel",
    failed: "retry cancel",
    cancelled: "",
  };
  const names = ["pause", "resume", "retry", "cancel", "provide-file"] as const;
  for (const [status, expected] of Object.entries(allowed)) {
    const state = { ...createState(SIZE), status: status as Status };
    expect([status, names.filter((name) => isAllowed(state, name)).join(" ")]).toEqual([status, expected]);
    expect(isEnded(state)).toBe(["done", "skipped", "failed", "cancelled"].includes(status));
  }
});
