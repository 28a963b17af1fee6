// The upload of one file: start a session -> hash, sign and send its chunks -> complete it.
//
// The session at the server is the only record of progress. A small file is hashed first, a large one while it is sent;
// its fingerprint is bound to the session afterwards. If the server has content or a session of the same size, it requires
// the fingerprint first: the upload may be a resume or a duplicate. Invariants: a chunk that the store has is never sent
// again; a session of another run is completed only after all hashes registered in it were compared with those of the file.

import { ApiProblem, isProblem } from "../problems.ts";
import { FileHasher, hashBlob } from "../worker/hash.ts";
import type { Put } from "../worker/put.ts";
import { Chunks, expectChunkBytes, parseRanges } from "./chunks.ts";
import type { Connectivity } from "./connectivity.ts";
import { SessionGone, SessionLost, UploadError } from "./errors.ts";
import type { Job, OnConflict } from "./job.ts";
import type { Lanes } from "./lanes.ts";
import type { Report } from "./machine.ts";
import { RetryWindow } from "./retry.ts";
import { callServer, requireReadable, Sender } from "./sender.ts";
import type { ChunkHash, Completed, Limits, NewSession, Session, Sessions, SignedPart, Started } from "./sessions.ts";

const MAX_SESSIONS = 4;
const MAX_ROUNDS = 4;
const COMPARED_PER_CALL = 1000;
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
      const isOther = isProblem(error, "chunk-mismatch"); // hashes of other bytes are registered: it can never complete
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
  private hashes: { chunkSizeBytes: number; known: Map<number, string> } = { chunkSizeBytes: 0, known: new Map() };
  private sessionId: string | null = null;

  constructor(
    private readonly context: TransferContext,
    private job: Job,
  ) {
    this.file = job.file;
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
      await this.hashAll(new Chunks(this.file.size, this.file.size));
    }
    if (this.fingerprint === null) {
      await this.hashFirst(limits);
      try {
        return await this.post(null);
      } catch (error) {
        if (!isProblem(error, "fingerprint-required")) throw error;
        await this.adopt(error.problem.uploads, limits);
      }
    }
    return this.post(this.fingerprint);
  }

  private async post(fingerprint: string | null): Promise<Started> {
    const wanted = await this.describe(fingerprint);
    return this.call(() => this.context.sessions.start(wanted));
  }

  /** Hash the first chunk, so that the start signs it. */
  private async hashFirst(limits: Limits): Promise<void> {
    const chunks = new Chunks(this.file.size, expectChunkBytes(this.file.size, limits.chunkSizeBytes));
    try {
      const known = new Map([[1, await hashBlob(chunks.slice(this.file, 1))]]);
      if (!this.hashes.known.size) this.hashes = { chunkSizeBytes: chunks.chunkSizeBytes, known };
    } catch {
      // The hasher of the whole file reports what cannot be read.
    }
  }

  private async describe(fingerprint: string | null): Promise<NewSession> {
    const parentId = await this.call(() => this.context.findFolder(this.job));
    const { chunkSizeBytes, known } = this.hashes;
    const sha256 = known.get(1);
    const first = sha256 !== undefined && chunkSizeBytes < this.file.size ? { sha256, chunkSizeBytes } : null;
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
  private async adopt(unbound: readonly string[], limits: Limits): Promise<void> {
    const { sessions } = this.context;
    const candidates = await Promise.all(unbound.map((id) => this.call(() => sessions.reconcile(id))));
    candidates.sort((one, other) => other.uploaded_bytes - one.uploaded_bytes);
    const chunkSizeBytes = candidates[0]?.chunk_size_bytes ?? expectChunkBytes(this.file.size, limits.chunkSizeBytes);
    const fingerprint = await this.hashAll(new Chunks(this.file.size, chunkSizeBytes));
    for (const { id, chunk_size_bytes } of candidates) {
      if (chunk_size_bytes !== chunkSizeBytes) continue;
      const registered = await this.call(() => sessions.listHashes(id));
      const isSame = ({ number, sha256 }: ChunkHash) => this.hashes.known.get(number) === sha256;
      if (!registered.length || !registered.every(isSame)) continue;
      try {
        await this.call(() => sessions.bind(id, fingerprint));
        return; // a start with this fingerprint joins the session
      } catch (error) {
        if (!isSessionLost(error)) throw error;
      }
    }
  }

  /** Compute the fingerprint and the hashes of all chunks in one pass, before anything is sent. */
  private async hashAll(chunks: Chunks): Promise<string> {
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
    this.hashes = { chunkSizeBytes: chunks.chunkSizeBytes, known: hasher.hashes };
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
    for (let round = 0; round < MAX_ROUNDS; round++) {
      try {
        if (current.state === "active" || current.state === "creating") {
          await this.send(current, todo, signed, isNew ? [] : parseRanges(current.uploaded));
        }
        const fingerprint = this.fingerprint ?? (await this.hashAll(this.chunksOf(current)));
        await requireReadable(this.file);
        const bound = await this.bind(current, fingerprint);
        if (bound && bound.session?.id !== current.id) return bound;
        return await this.complete(current.id, fingerprint);
      } catch (error) {
        if (!(error instanceof SessionGone) && !isProblem(error, "parts-missing")) throw error;
        current = await this.reconcile(current.id);
        todo = parseRanges(current.missing);
        signed = [];
      }
    }
    throw new UploadError("gave-up", `The store lost parts ${MAX_ROUNDS} times`);
  }

  private chunksOf(session: Session): Chunks {
    return new Chunks(session.size_bytes, session.chunk_size_bytes);
  }

  private async reconcile(id: string): Promise<Session> {
    const session = await this.call(() => this.context.sessions.reconcile(id));
    if (session.state === "aborted" || session.state === "expired" || session.state === "failed") {
      throw new SessionLost(`The upload session is ${session.state}`);
    }
    return session;
  }

  /** Send the chunks `todo`; compare the hashes of the chunks `stored` with those that the server has registered. */
  private async send(session: Session, todo: number[], signed: readonly SignedPart[], stored: number[]): Promise<void> {
    const chunks = this.chunksOf(session);
    const local = new AbortController();
    const signal = AbortSignal.any([this.context.signal, local.signal]);
    const hasher = this.startHasher(
      chunks,
      [...todo, ...stored].sort((one, other) => one - other),
      signal,
    );
    const sender = new Sender(this.context, this.window, session.id, this.file, chunks, hasher, signal);
    try {
      await sender.send(todo, signed);
      this.fingerprint = await hasher.done;
      this.hashes = { chunkSizeBytes: chunks.chunkSizeBytes, known: hasher.hashes };
      await this.compare(session.id, stored);
    } finally {
      local.abort(new DOMException("The upload ended", "AbortError"));
      await sender.settle();
    }
  }

  private startHasher(chunks: Chunks, wanted: number[], signal: AbortSignal): FileHasher {
    const known = this.hashes.chunkSizeBytes === chunks.chunkSizeBytes ? this.hashes.known : new Map<number, string>();
    const { file, fingerprint } = this;
    return new FileHasher({ file, chunks, fingerprint, wanted, signal, known });
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
