// The upload of one file: start a session -> hash, sign and send its chunks -> complete it.
//
// The session at the server is the only record of progress. A small file is hashed first, a large one while it is sent;
// its fingerprint is bound to the session afterwards. If the server has content or a session of the same size, it requires
// the fingerprint first: the upload may be a resume, a duplicate, or an edit in place. A file of more than 16 MiB is cut where
// its content says, and chunks that the account stores are left to the server, unless it is too slow. Invariants: a chunk that the store has is never sent
// again; a session of another run is completed only after all hashes registered in it were compared with those of the file.

import { ApiProblem, isProblem } from "../problems.ts";
import { MAX_BYTES } from "../worker/cdc.ts";
import { FileHasher, findCutter, hashFirstChunk } from "../worker/hash.ts";
import type { Put } from "../worker/put.ts";
import { CDC1, Chunks, expectChunkBytes, fixed, parseRanges } from "./chunks.ts";
import type { Connectivity } from "./connectivity.ts";
import { OtherContent, SessionGone, SessionLost, UploadError } from "./errors.ts";
import type { Job, OnConflict } from "./job.ts";
import type { Lanes } from "./lanes.ts";
import type { Report } from "./machine.ts";
import { RetryWindow } from "./retry.ts";
import { callServer, LARGEST_PAGE, listChunks, requireReadable, Sender } from "./sender.ts";
import {
  type ChunkHash,
  type Completed,
  type Limits,
  type NewSession,
  readChunking,
  readReusing,
  type Session,
  type Sessions,
  type SignedPart,
  type Started,
} from "./sessions.ts";

const MAX_SESSIONS = 4;
const MAX_ROUNDS = 4;
const COMPARED_PER_CALL = 1000;
const REUSE_POLL_S = 5;
/** A server that reuses no chunk for so many polls is not waited for: the client sends them. */
const REUSE_POLLS = 6;
/** Problem codes of a session that cannot be completed; a new session may succeed. */
const LOST = new Set([
  "upload-expired",
  "upload-ended",
  "upload-failed",
  "upload-completing", // another tab or device completes it: the next start finds that
  "not-found",
  "fingerprint-mismatch",
]);

/** What the page decides about a taken name. */
export type Choice = Exclude<OnConflict, "fail"> | "skip";

export interface TransferContext {
  sessions: Sessions;
  put: Put;
  lanes: Lanes;
  connectivity: Connectivity;
  /** Aborts when the upload is paused or cancelled. */
  signal: AbortSignal;
  report: (report: Report) => void;
  /** Called with each session that the job gets, null when it has lost it. */
  onSession: (uploadId: string | null) => void;
  /** Ask the page about a taken name. */
  decide: (job: Job, fileId: string | null) => Promise<Choice>;
  /** Return the id of the job's folder, which is made on the way; null for the root. */
  findFolder: (job: Job) => Promise<string | null>;
  /** Run while no other tab works on the session; `onBusy` tells that one does. */
  withLock: <Result>(uploadId: string, onBusy: () => void, run: () => Promise<Result>) => Promise<Result>;
}

function requireLive({ state }: Session): void {
  if (state === "aborted" || state === "expired" || state === "failed") {
    throw new SessionLost(`The upload session is ${state}`);
  }
}

function isSessionLost(error: unknown): error is SessionLost | ApiProblem {
  return error instanceof SessionLost || (error instanceof ApiProblem && LOST.has(error.code));
}

/** Upload the file of a job; return the last report about it. Throws what ended the upload, and the signal's reason. */
export async function transferFile(context: TransferContext, job: Job): Promise<Report> {
  let reason = "";
  for (let count = 0; count < MAX_SESSIONS; count++) {
    const transfer = new Transfer(context, job);
    try {
      return await transfer.run();
    } catch (error) {
      const isLost = isSessionLost(error);
      // Hashes of other bytes are registered: it can never complete.
      const isOther = error instanceof OtherContent || isProblem(error, "chunk-mismatch");
      if (isOther || (error instanceof UploadError && error.code === "file-changed")) await transfer.abort();
      if (!isLost && !isOther) throw error;
      if (isProblem(error, "not-found") && !transfer.hasSession) throw error; // the destination, not a session
      reason = error.message;
      job = { ...job, uploadId: null };
      context.onSession(null);
    }
  }
  throw new UploadError("gave-up", `${MAX_SESSIONS} upload sessions ended before the file was complete: ${reason}`);
}

class Transfer {
  private readonly file: File;
  private readonly window = new RetryWindow();
  private fingerprint: string | null = null;
  private hashes: { chunks: Chunks; known: Map<number, string> };
  /** Whether the file has the size of the one that it replaces, and is cut as that one: only what changed is sent. */
  private isEditInPlace = false;
  /** The file that has the name. */
  private takenBy: string | null = null;
  private sessionId: string | null = null;

  constructor(
    private readonly context: TransferContext,
    private job: Job,
  ) {
    this.file = job.file;
    this.hashes = { chunks: new Chunks(0, fixed(0)), known: new Map() };
  }

  get hasSession(): boolean {
    return this.sessionId !== null;
  }

  async run(): Promise<Report> {
    this.context.report({ type: "checking", checkedBytes: 0 });
    let started: Started | null = await this.startOrAsk();
    while (started?.session) {
      const { session, isNew, parts } = started;
      this.sessionId = session.id;
      this.context.onSession(session.id);
      const onBusy = () => this.context.report({ type: "elsewhere" });
      const next = await this.context.withLock(session.id, onBusy, () => this.sendAndComplete(session, isNew, parts));
      if ("type" in next) return next;
      started = next;
    }
    return started ? { type: "done", fileId: started.fileId } : { type: "skipped" };
  }

  async abort(): Promise<void> {
    if (this.sessionId) await this.context.sessions.abort(this.sessionId).catch(() => undefined); // it will expire
  }

  // Start

  /** Start a session, and ask the page about a taken name; null to skip the file. */
  private async startOrAsk(): Promise<Started | null> {
    for (;;) {
      try {
        return await this.start();
      } catch (error) {
        if (!isProblem(error, "name-taken")) throw error;
        if (!(await this.askForName(error.problem.file_id ?? null))) return null;
      }
    }
  }

  /** Ask what to do about a taken name; return false to skip the file. */
  private async askForName(fileId: string | null): Promise<boolean> {
    this.takenBy = fileId;
    this.context.report({ type: "asking" });
    const choice = await this.context.decide(this.job, fileId);
    this.context.signal.throwIfAborted();
    if (choice !== "skip") this.job = { ...this.job, onConflict: choice };
    return choice !== "skip";
  }

  private async start(): Promise<Started> {
    const known = this.job.uploadId && (await this.findSession(this.job.uploadId));
    if (known) return { session: known, fileId: null, parts: [], isNew: false };
    const { sessions } = this.context;
    const limits = await this.call(() => sessions.readLimits());
    if (this.fingerprint === null && this.file.size <= limits.singleMaxBytes) {
      await this.hashAll(fixed(this.file.size));
    }
    if (this.fingerprint === null) {
      const chunking = await this.chooseChunking(limits);
      await this.hashFirst(chunking);
      try {
        return await this.post(null);
      } catch (error) {
        if (!isProblem(error, "fingerprint-required")) throw error;
        await this.adopt(error.problem.uploads, chunking);
      }
    }
    return this.post(this.fingerprint);
  }

  private async post(fingerprint: string | null): Promise<Started> {
    const wanted = await this.describe(fingerprint);
    return this.call(() => this.context.sessions.start(wanted));
  }

  /** Return how to cut a new file of more than one chunk. */
  private async chooseChunking({ chunkSizeBytes, cdc1MaxBytes }: Limits): Promise<string> {
    const { size } = this.file;
    if (size > MAX_BYTES && size <= cdc1MaxBytes && (await findCutter())) return CDC1;
    return fixed(expectChunkBytes(size, chunkSizeBytes));
  }

  /** Hash the first chunk, so that the start signs it. */
  private async hashFirst(chunking: string): Promise<void> {
    if (this.hashes.known.size) return;
    const chunks = new Chunks(this.file.size, chunking);
    try {
      this.hashes = { chunks, known: new Map([[1, await hashFirstChunk(this.file, chunks)]]) };
    } catch {
      // The hasher of the whole file reports what cannot be read.
    }
  }

  private async describe(fingerprint: string | null): Promise<NewSession> {
    const parentId = await this.call(() => this.context.findFolder(this.job));
    const { chunks, known } = this.hashes;
    const isListed = this.isEditInPlace || chunks.chunking === CDC1;
    const numbers: number[] = [];
    while (known.has(numbers.length + 1) && numbers.length < (isListed ? LARGEST_PAGE : 1))
      numbers.push(numbers.length + 1);
    const isOne = chunks.isComplete && chunks.count === 1;
    const first =
      numbers.length && !isOne
        ? { chunking: chunks.chunking, chunks: listChunks(chunks, known, numbers), isListed }
        : null;
    return { job: this.job, parentId, fingerprint, first };
  }

  /** Return the session that an earlier run of this job had, null where it has ended. */
  private async findSession(id: string): Promise<Session | null> {
    try {
      const session = await this.reconcile(id);
      return session.size_bytes === this.file.size ? session : null;
    } catch (error) {
      if (isSessionLost(error)) return null;
      throw error;
    }
  }

  /**
   * Hash the file, and bind its fingerprint to the session that an interrupted upload of it left, if any.
   *
   * All hashes registered in a session, at least one, must be those of the file: a session of another file of the same size
   * is left alone.
   */
  private async adopt(unbound: readonly string[], chunking: string): Promise<void> {
    const { sessions } = this.context;
    const candidates = await Promise.all(unbound.map((id) => this.call(() => sessions.reconcile(id))));
    candidates.sort((one, other) => other.uploaded_bytes - one.uploaded_bytes);
    const [best] = candidates;
    const chosen = best ? readChunking(best) : ((await this.findReplacedChunking()) ?? chunking);
    const fingerprint = await this.hashAll(chosen);
    for (const session of candidates) {
      if (readChunking(session) !== chosen || !(await this.hasOnlyOwnChunks(session.id))) continue;
      try {
        await this.call(() => sessions.bind(session.id, fingerprint));
        return; // a start with this fingerprint joins the session
      } catch (error) {
        if (!isSessionLost(error)) throw error;
      }
    }
  }

  /** Whether hashes are registered in a session, and all of them are those of the file. */
  private async hasOnlyOwnChunks(id: string): Promise<boolean> {
    const registered = await this.call(() => this.context.sessions.listHashes(id));
    const isSame = ({ number, sha256 }: ChunkHash) => this.hashes.known.get(number) === sha256;
    return registered.length > 0 && registered.every(isSame);
  }

  /**
   * Return how the content was cut that the file replaces, if it has fixed chunks and the same size; else null.
   *
   * The same cuts find the chunks that are unchanged in a file that was edited in place.
   */
  private async findReplacedChunking(): Promise<string | null> {
    if (this.job.onConflict !== "replace") return null;
    const wanted = await this.describe(null);
    try {
      const replaced = await this.call(() => this.context.sessions.readReplaced(wanted, this.takenBy));
      this.isEditInPlace = /^fixed:[1-9]\d*$/.test(replaced?.chunking ?? "") && replaced?.sizeBytes === this.file.size;
      return replaced && this.isEditInPlace ? replaced.chunking : null;
    } catch (error) {
      if (error instanceof ApiProblem) return null; // there is none, or not for this account
      throw error;
    }
  }

  /** Compute the fingerprint and the hashes of all chunks in one pass, before anything is sent. */
  private async hashAll(chunking: string): Promise<string> {
    const chunks = new Chunks(this.file.size, chunking);
    let checkedBytes = 0;
    const hasher = new FileHasher({
      file: this.file,
      chunks,
      fingerprint: null,
      wanted: [],
      signal: this.context.signal,
      onChunk: (_, sizeBytes) => {
        checkedBytes += sizeBytes;
        this.context.report({ type: "checking", checkedBytes });
      },
    });
    this.fingerprint = await hasher.done;
    this.hashes = { chunks, known: hasher.hashes };
    return this.fingerprint;
  }

  // Send

  /** Send what the store lacks until the file is complete; return the last report, or another session to continue. */
  private async sendAndComplete(
    session: Session,
    isNew: boolean,
    parts: readonly SignedPart[],
  ): Promise<Report | Started> {
    let current = isNew ? session : await this.reconcile(session.id);
    let todo = parseRanges(current.missing);
    let signed = isNew ? parts : [];
    let listed = await this.prepare(current, isNew);
    const isDefined = readChunking(current) === CDC1;
    for (let round = 0; round < MAX_ROUNDS; round++) {
      try {
        if (current.state === "active" || current.state === "creating") {
          await this.send(current, listed, todo, signed, isNew || isDefined ? [] : parseRanges(current.uploaded));
        }
        const fingerprint = this.fingerprint ?? (await this.hashAll(readChunking(current)));
        await requireReadable(this.file);
        const bound = await this.bind(current, fingerprint);
        if (bound && bound.session?.id !== current.id) return bound;
        return await this.complete(current.id, fingerprint);
      } catch (error) {
        const isIncomplete = isProblem(error, "parts-missing") || isProblem(error, "chunks-missing");
        if (!(error instanceof SessionGone) && !isIncomplete) throw error;
        current = await this.reconcile(current.id);
        listed = this.countListed(current, false);
        todo = parseRanges(current.missing);
        signed = [];
      }
    }
    throw new UploadError("gave-up", `The store lost parts ${MAX_ROUNDS} times`);
  }

  /**
   * Cut the file as a session wants it; return how many chunks the server knows.
   *
   * The list of another run is continued only if it is that of this file.
   */
  private async prepare(session: Session, isNew: boolean): Promise<number> {
    const chunking = readChunking(session);
    if (chunking !== this.hashes.chunks.chunking) {
      this.hashes = { chunks: new Chunks(this.file.size, chunking), known: new Map() };
    }
    if (chunking === CDC1 && !isNew) {
      if (this.fingerprint === null || !this.hashes.chunks.isComplete) await this.hashAll(chunking);
      if (session.chunk_count && !(await this.hasOnlyOwnChunks(session.id))) {
        throw new OtherContent("The upload session has chunks of another file");
      }
    }
    return this.countListed(session, isNew);
  }

  private countListed(session: Session, isNew: boolean): number {
    const { chunks, known } = this.hashes;
    if (chunks.chunking === CDC1 || !this.isEditInPlace || known.size < chunks.count) return session.chunk_count;
    return isNew ? Math.min(LARGEST_PAGE, chunks.count) : 0;
  }

  private async reconcile(id: string): Promise<Session> {
    const session = await this.call(() => this.context.sessions.reconcile(id));
    requireLive(session);
    return session;
  }

  /**
   * Send the chunks `todo`, and those after the `listed` ones that are not reused; compare the hashes of the chunks `stored`
   * with those that the server has registered.
   */
  private async send(
    session: Session,
    listed: number,
    todo: number[],
    signed: readonly SignedPart[],
    stored: number[],
  ): Promise<void> {
    const { chunks } = this.hashes;
    const local = new AbortController();
    const signal = AbortSignal.any([this.context.signal, local.signal]);
    const wanted = [...todo, ...stored].sort((one, other) => one - other);
    const hasher = this.startHasher(chunks, wanted, signal);
    let sender = new Sender(this.context, this.window, session, listed, this.file, chunks, hasher, signal);
    try {
      await sender.send(todo, signed);
      const unmade = await this.waitForReuse(session.id, sender.left);
      if (unmade.length) {
        sender = new Sender(this.context, this.window, session, sender.listed, this.file, chunks, hasher, signal);
        await sender.send(unmade, []);
      }
      this.fingerprint = await hasher.done;
      this.hashes = { chunks, known: hasher.hashes };
      await this.compare(session.id, stored);
    } finally {
      local.abort(new DOMException("The upload ended", "AbortError"));
      await sender.settle();
    }
  }

  /** Wait until the server has made the chunks that are left to it; return those that it has not. */
  private async waitForReuse(id: string, left: ReadonlySet<number>): Promise<number[]> {
    let before: string | null = null;
    let polls = 0;
    while (left.size) {
      const session = await this.call(() => this.context.sessions.look(id, REUSE_POLL_S));
      requireLive(session);
      if (session.state !== "active") break;
      const reusing = readReusing(session);
      polls = reusing === before ? polls + 1 : 1;
      before = reusing;
      if (reusing && polls < REUSE_POLLS) continue;
      const unmade = [...parseRanges(session.missing), ...parseRanges(reusing)].filter((number) => left.has(number));
      return unmade.sort((one, other) => one - other);
    }
    return [];
  }

  private startHasher(chunks: Chunks, wanted: number[], signal: AbortSignal): FileHasher {
    const { file, fingerprint, hashes } = this;
    return new FileHasher({ file, chunks, fingerprint, wanted, signal, known: hashes.known });
  }

  /** Compare hashes: the server refuses to sign a chunk with another hash than it has registered. */
  private async compare(id: string, numbers: readonly number[]): Promise<void> {
    const left = numbers.map((number) => ({ number, sha256: this.hashes.known.get(number) ?? "" }));
    while (left.length) {
      const some = left.slice(0, COMPARED_PER_CALL);
      const parts = await this.call(() => this.context.sessions.sign(id, some));
      left.splice(0, Math.max(1, parts.length));
    }
  }

  private async bind(session: Session, fingerprint: string): Promise<Started | null> {
    if (session.fingerprint) return null;
    return this.call(() => this.context.sessions.bind(session.id, fingerprint));
  }

  // Complete

  private async complete(id: string, fingerprint: string): Promise<Report> {
    this.context.report({ type: "completing" });
    for (;;) {
      const completed = await this.completeOnce(id, fingerprint);
      if (typeof completed === "number") {
        await this.context.connectivity.pause(completed * 1000, this.context.signal);
      } else if (completed.refusal === null) {
        return { type: "done", fileId: completed.fileId };
      } else {
        const { refusal } = completed;
        if (refusal.code !== "name-taken") throw new ApiProblem(refusal, refusal.status, null);
        if (!(await this.askForName(refusal.file_id ?? null))) return { type: "skipped" };
        const wanted = await this.describe(fingerprint);
        await this.call(() => this.context.sessions.place(wanted, id));
        this.context.report({ type: "completing" });
      }
    }
  }

  private async completeOnce(id: string, fingerprint: string): Promise<Completed | number> {
    try {
      return await this.call(() => this.context.sessions.complete(this.job, id, fingerprint));
    } catch (error) {
      if (isProblem(error, "upload-completing")) return error.retryAfterS ?? 1;
      if (isProblem(error, "destination-refused"))
        return { fileId: null, refusal: error.problem.problems.at(-1) ?? error.problem };
      throw error;
    }
  }

  private call<Result>(operation: () => Promise<Result>): Promise<Result> {
    return callServer(this.context, this.window, operation);
  }
}
