// The upload of many small files: one call starts hundreds, each file is one PUT, one call completes them.
//
// A batch is the fast path. A file that needs more than one attempt, a decision, or a session that is not its own, is
// handed back: `transferFile` takes it.

import { ApiProblem } from "../problems.ts";
import { hashBlob } from "../worker/hash.ts";
import { describeFailure, readRetry } from "./errors.ts";
import type { Job } from "./job.ts";
import type { Report } from "./machine.ts";
import { RetryWindow, retry } from "./retry.ts";
import type { NewSession, SignedPart } from "./sessions.ts";
import type { TransferContext } from "./transfer.ts";

/** A job of a batch, and what belongs to it alone. */
export interface BatchJob {
  job: Job;
  /** Aborts when this file is paused or cancelled. */
  signal: AbortSignal;
  report: (report: Report) => void;
  /** Called with the session that the file gets. */
  onSession: (uploadId: string) => void;
}

/** Files whose bytes are in memory at once. */
const PARALLEL_HASHES = 4;

interface Member extends BatchJob {
  wanted: NewSession;
  fingerprint: string;
}

/** Upload small files; return those that need `transferFile`. The others have their last report. */
export async function sendBatch(context: TransferContext, batch: readonly BatchJob[]): Promise<BatchJob[]> {
  const alone: BatchJob[] = [];
  const members = await hashMembers(context, batch, alone);
  if (members.length) {
    try {
      const stored = await sendMembers(context, members, alone);
      if (stored.length) await completeMembers(context, stored, alone);
    } catch (error) {
      context.signal.throwIfAborted();
      // A problem of the whole call, such as an item that the server cannot parse, must not fail the others.
      alone.push(...members.filter((member) => !alone.includes(member)));
      if (!(error instanceof ApiProblem)) throw error;
    }
  }
  return alone.filter(({ signal }) => !signal.aborted);
}

/** Hash the files; of equal ones only the first is a member: the others are deduplicated once it is stored. */
async function hashMembers(context: TransferContext, batch: readonly BatchJob[], alone: BatchJob[]): Promise<Member[]> {
  const members = new Map<string, Member>();
  const queue = [...batch];
  const work = async () => {
    for (let member = queue.shift(); member; member = queue.shift()) {
      const next = member;
      if (next.signal.aborted) continue;
      try {
        next.report({ type: "checking", checkedBytes: 0 });
        const fingerprint = await hashBlob(next.job.file);
        const wanted = {
          job: next.job,
          parentId: await call(context, () => context.findFolder(next.job)),
          fingerprint,
          first: null,
        };
        if (members.has(fingerprint)) alone.push(next);
        else members.set(fingerprint, { ...next, wanted, fingerprint });
      } catch (error) {
        context.signal.throwIfAborted();
        next.report({ type: "failed", failure: describeFailure(error) });
      }
    }
  };
  await Promise.all(Array.from({ length: PARALLEL_HASHES }, work));
  return [...members.values()];
}

interface Stored {
  member: Member;
  id: string;
}

/** Start the sessions and send the files; return those that the store has. */
async function sendMembers(context: TransferContext, members: Member[], alone: BatchJob[]): Promise<Stored[]> {
  const answers = await call(context, () => context.sessions.startBatch(members.map(({ wanted }) => wanted)));
  const stored: Stored[] = [];
  const puts = members.map(async (member, index) => {
    const answer = answers[index];
    if (!answer || "problem" in answer) {
      alone.push(member); // it gets the same answer, and knows what to do about it
    } else if (answer.fileId !== null) {
      member.report({ type: "done", fileId: answer.fileId });
    } else {
      const { session, parts } = answer;
      if (session) member.onSession(session.id);
      const isShared = session && "destinations" in session && session.destinations.length > 1;
      const [part] = parts;
      if (!session || !part || isShared) alone.push(member);
      else if (await putMember(context, member, part)) stored.push({ member, id: session.id });
      else alone.push(member);
    }
  });
  await Promise.all(puts);
  return stored.filter(({ member }) => !member.signal.aborted);
}

/** Send a file once; return whether the store has it. */
async function putMember(
  context: TransferContext,
  { job, signal, report }: Member,
  part: SignedPart,
): Promise<boolean> {
  const both = AbortSignal.any([context.signal, signal]);
  try {
    const free = await context.lanes.acquire(both);
    try {
      const onProgress = (sentBytes: number) => report({ type: "sending", sentBytes });
      const result = await context.put(part, job.file.slice(), { signal: both, onProgress });
      if (result === "stored") context.lanes.recordPart(job.file.size);
      return result === "stored";
    } finally {
      free();
    }
  } catch (error) {
    context.signal.throwIfAborted();
    if (readRetry(error) !== null) context.lanes.recordRefusal();
    return false;
  }
}

async function completeMembers(context: TransferContext, stored: readonly Stored[], alone: BatchJob[]): Promise<void> {
  for (let left = stored; left.length; ) {
    for (const { member } of left) member.report({ type: "completing" });
    const ended = left.map(({ member, id }) => ({ job: member.job, id, fingerprint: member.fingerprint }));
    const answers = await call(context, () => context.sessions.completeBatch(ended));
    let pauseS = 0;
    left = left.filter(({ member }, index) => {
      const answer = answers[index];
      if (typeof answer === "number") pauseS = Math.max(pauseS, answer);
      else if (!answer || answer instanceof ApiProblem || answer.refusal) alone.push(member);
      else member.report({ type: "done", fileId: answer.fileId });
      return typeof answer === "number" && !member.signal.aborted;
    });
    if (left.length) await context.connectivity.pause(pauseS * 1000, context.signal);
  }
}

function call<Result>(context: TransferContext, operation: () => Promise<Result>): Promise<Result> {
  const { connectivity, signal, report } = context;
  const onWait = (reason: "offline" | "retrying") => report({ type: "waiting", reason });
  return retry({ window: new RetryWindow(), connectivity, signal, onWait, readRetry }, operation);
}
