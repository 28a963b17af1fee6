// A server and its store in memory that speak the protocol of uploads, and fail as a test wants.

import { createClient, type Problem } from "../../../src/index.ts";
import { fetchWithin } from "../../../src/transport.ts";
import { Connectivity } from "../../../src/upload/connectivity.ts";
import { StoreBusy } from "../../../src/upload/errors.ts";
import type { Job, Target } from "../../../src/upload/job.ts";
import type { Report } from "../../../src/upload/machine.ts";
import { Runner } from "../../../src/upload/runner.ts";
import type { Choice } from "../../../src/upload/transfer.ts";
import { hashBlob } from "../../../src/worker/hash.ts";
import { type Put, readResult } from "../../../src/worker/put.ts";
import { problem } from "../../support/fake_server.ts";

export const SINGLE_MAX = 100;
const CHUNK = 40;

/** What happens to the next request to the store. `lost` stores the part, and its answer is lost. */
export type StoreFault = "ok" | "busy" | "lost" | "expired" | "damaged" | "gone";
/** What happens to the next request to the API. `lost` takes effect, and its answer is lost; `silent` gets none. */
export type ApiFault = "ok" | "away" | "lost" | "unavailable" | "silent";

interface Session {
  id: string;
  sizeBytes: number;
  fingerprint: string | null;
  /** Of fixed chunks; null where the client lists them. */
  chunkSize: number | null;
  /** The sizes of the listed chunks. */
  sizes: number[];
  /** Chunks that are made from stored bytes. */
  reusing: Set<number>;
  hashes: Map<number, string>;
  stored: Map<number, Uint8Array<ArrayBuffer>>;
  state: string;
  /** Of its destinations: files with equal content share a session. */
  names: string[];
  onConflict: string;
}

export class FaultServer {
  readonly sessions = new Map<string, Session>();
  /** Content by name. */
  readonly files = new Map<string, Uint8Array>();
  /** Parts that the store took, as "session/number". */
  readonly took: string[] = [];
  readonly calls: string[] = [];
  private visit = 0;
  private signatures = 0;
  private readonly expired = new Set<string>();
  storeFaults: StoreFault[] = [];
  apiFaults: ApiFault[] = [];
  chunkBytes = CHUNK;
  /** The largest file with content-defined chunks. */
  cdc1MaxBytes = 0;
  /** What becomes of chunks that are stored already: they are made, or missing after all, or nothing happens. */
  reuse: "make" | "lose" | "stall" = "make";
  /** Chunks of complete files, by hash. */
  private readonly storedChunks = new Map<string, Uint8Array<ArrayBuffer>>();
  /** Answers about files, by id. */
  readonly manifests = new Map<string, { chunking: string; size_bytes: number }>();
  /** How many completions are to be answered with "not yet". */
  slowCompletions = 0;
  /** Return why a file is refused, null for one that is taken. */
  refuse: (name: string) => Problem["code"] | null = () => null;
  /** How long clients wait for an answer. */
  answerMs = 60_000;
  /** Called before each PUT. */
  beforePut: () => void | Promise<void> = () => undefined;
  /** Called before the answer to each call of the API. */
  beforeAnswer: (call: string) => void | Promise<void> = () => undefined;

  /** Answer no further PUT after some, as when the page goes away. */
  hangAfter(count: number, onHang: () => void): void {
    this.beforePut = () => {
      count -= 1;
      if (count >= 0) return;
      onHang();
      return new Promise<void>(() => undefined);
    };
  }

  /** Run jobs until they have ended; return their last reports. */
  async upload(files: Record<string, Blob>, options: UploadOptions = {}): Promise<Record<string, Report>> {
    const last: Record<string, Report> = {};
    const ended = Promise.withResolvers<void>();
    const { uploadIds = {}, target = { kind: "account" }, decide = async () => "rename" as const, onReport } = options;
    this.visit += 1;
    const { visit } = this;
    /** A page that has gone sends and receives nothing more. */
    const whileOpen = async <Result>(send: () => Promise<Result>): Promise<Result> => {
      if (visit !== this.visit) return new Promise(() => undefined);
      const result = await send();
      return visit === this.visit ? result : new Promise(() => undefined);
    };
    const runner = new Runner({
      client: createClient({
        baseUrl: "https://fault.example",
        fetch: fetchWithin(this.answerMs, (request) => whileOpen(() => this.receive(request))),
      }),
      target,
      put: (...request) => whileOpen(() => this.put(...request)),
      connectivity: new QuickConnectivity(),
      onSession: (job, id) => {
        if (id) uploadIds[job.name] = id;
      },
      decide,
      lock: async (_, __, ___, run) => run(),
      onReport: (job, report) => {
        onReport?.(report, runner, job);
        last[job.name] = report;
        const isOver = (name: string) => /^(done|failed|skipped)$/.test(last[name]?.type ?? "");
        if (Object.keys(files).every(isOver)) ended.resolve();
      },
    });
    const jobs = Object.entries(files).map(([name, blob]): Job => {
      const file = blob instanceof File ? blob : new File([blob], name, { lastModified: 1 });
      const uploadId = uploadIds[name] ?? null;
      return { id: name, run: 0, file, name, folders: [], parentId: null, onConflict: "fail", uploadId };
    });
    await runner.run(jobs);
    await Promise.race([ended.promise, options.until ?? ended.promise]);
    return last;
  }

  /** PUT to the store. */
  readonly put: Put = async (part, chunk, { signal, onProgress }) => {
    await this.beforePut();
    signal.throwIfAborted();
    const [, id = "", number = ""] = new URL(part.url).pathname.split("/");
    const bytes = await readBody(chunk);
    onProgress(Math.floor(bytes.length / 2));
    const session = this.sessions.get(id);
    const fault = this.storeFaults.shift() ?? "ok";
    if (fault === "busy") throw new StoreBusy("away");
    if (fault === "expired") this.expired.add(part.url);
    if (this.expired.has(part.url)) return readResult(1, 403, "<Error><Code>AccessDenied</Code></Error>");
    if (fault === "damaged") return readResult(1, 400, "<Error><Code>BadDigest</Code></Error>");
    if (fault === "gone" || session?.state !== "active")
      return readResult(1, 404, "<Error><Code>NoSuchUpload</Code></Error>");
    if ((await hashBlob(new Blob([bytes]))) !== session.hashes.get(Number(number))) return "damaged";
    this.took.push(`${id}/${number}`);
    session.stored.set(Number(number), bytes);
    if (fault === "lost") throw new StoreBusy("the answer was lost");
    return "stored";
  };

  private async receive(request: Request): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url);
    const call = `${request.method} ${pathname}`;
    this.calls.push(call);
    await this.beforeAnswer(call);
    const fault = this.apiFaults.shift() ?? "ok";
    if (fault === "away") throw new TypeError("Failed to fetch");
    if (fault === "unavailable") return problem(503, "unavailable");
    if (fault === "silent") return failWithSignal(request.signal);
    const text = await request.text();
    const answer = this.answer(
      request.method,
      pathname.replace(/\/v1\/(public\/links\/[^/]+\/)?/, ""),
      JSON.parse(text || "{}"),
      Number(searchParams.get("from")),
    );
    if (fault === "lost") throw new TypeError("Failed to fetch");
    return answer;
  }

  // biome-ignore lint/suspicious/noExplicitAny: bodies of all operations
  private async answer(method: string, path: string, body: any, from: number): Promise<Response> {
    const [subject = "", id = "", action = ""] = path.split("/");
    if (subject === "capabilities") {
      return Response.json({
        single_max_bytes: SINGLE_MAX,
        chunk_size_bytes: this.chunkBytes,
        cdc1_max_bytes: this.cdc1MaxBytes,
        batch_items: 500,
      });
    }
    if (subject === "files") {
      const manifest = this.manifests.get(id);
      return manifest ? Response.json(manifest) : problem(404, "not-found");
    }
    if (path === "uploads") return this.start(body);
    if (path === "uploads/batch")
      return Response.json({ items: body.items.map((item: object) => this.startItem(item)) });
    if (path === "uploads/batch/complete") {
      const isLink = "items" in body;
      const ids: string[] = isLink ? body.items.map((item: { upload_id: string }) => item.upload_id) : body.upload_ids;
      return Response.json({ items: await Promise.all(ids.map((each) => this.completeItem(each, isLink))) });
    }
    const session = this.sessions.get(id);
    if (!session) return problem(404, "not-found");
    if (method === "DELETE") session.state = "aborted";
    if (action === "chunks" && method === "PUT") return this.addChunks(session, from, body.chunks);
    if (action === "chunks") return this.listChunks(session);
    if (method === "GET") this.makeReused(session);
    if (action === "parts") return this.sign(session, body.parts);
    if (action === "complete") return this.complete(session, body.fingerprint);
    if (action === "fingerprint") session.fingerprint = body.fingerprint;
    return Response.json(action === "fingerprint" ? { upload: this.show(session), file: null } : this.show(session));
  }

  private startItem(item: object): object {
    const answer = this.open(item);
    return "problem" in answer
      ? { problem: answer.problem }
      : { upload: this.show(answer.session), parts: answer.parts };
  }

  private start(body: object): Response {
    const answer = this.open(body);
    if ("problem" in answer) return Response.json(answer.problem, { status: answer.problem.status });
    const { session, parts, isNew } = answer;
    return Response.json({ upload: this.show(session), file: null, parts }, { status: isNew ? 201 : 200 });
  }

  // biome-ignore lint/suspicious/noExplicitAny: bodies of both kinds of starts
  private open(body: any): { session: Session; parts: object[]; isNew: boolean } | { problem: Problem } {
    const { size_bytes, fingerprint = null, client_ref = null, chunk_size_bytes, parts: hashes = [] } = body;
    const { chunking = "fixed", chunks = [] } = body;
    const { name, on_conflict } = body.destination ?? { name: body.name, on_conflict: "rename" };
    const known = [...this.sessions.values()].find((session) => {
      const isSame = client_ref ? session.names.includes(name) : fingerprint && session.fingerprint === fingerprint;
      if (session.chunkSize === null && chunking === "fixed") return false;
      return session.state === "active" && isSame;
    });
    if (known) {
      if (!known.names.includes(name)) known.names.push(name);
      return { session: known, parts: [], isNew: false };
    }
    const refusal = this.refuse(name);
    if (refusal) return { problem: describe(refusal) };
    if (on_conflict === "fail" && this.files.has(name))
      return { problem: { ...describe("name-taken"), file_id: name } as Problem };
    if (!fingerprint) {
      const same = [...this.sessions.values()].filter(
        (each) => each.state === "active" && each.sizeBytes === size_bytes,
      );
      const uploads = client_ref ? [] : same.filter((each) => !each.fingerprint).map((each) => each.id);
      const isStored = !client_ref && [...this.files.values()].some(({ length }) => length === size_bytes);
      if (size_bytes <= SINGLE_MAX || uploads.length || isStored)
        return { problem: { ...describe("fingerprint-required"), uploads } as Problem };
    }
    const session: Session = {
      id: `u${this.sessions.size}`,
      sizeBytes: size_bytes,
      fingerprint,
      chunkSize: chunking === "cdc1" ? null : size_bytes <= SINGLE_MAX ? size_bytes : this.chunkBytes,
      sizes: [],
      reusing: new Set(),
      hashes: new Map(size_bytes <= SINGLE_MAX ? [[1, fingerprint]] : []),
      stored: new Map(),
      state: "active",
      names: [name],
      onConflict: on_conflict,
    };
    this.sessions.set(session.id, session);
    if (size_bytes <= SINGLE_MAX) return { session, parts: [this.signPart(session, 1)], isNew: true };
    if (chunking === "fixed" && chunk_size_bytes !== this.chunkBytes) return { session, parts: [], isNew: true };
    this.list(session, 1, chunks);
    const sent = hashes.filter(({ number }: { number: number }) => !session.reusing.has(number));
    return { session, parts: this.signParts(session, sent), isNew: true };
  }

  /** Take the chunks of a list; those that are stored are made. Throws for a gap, and for other sizes than planned. */
  private list(session: Session, first: number, chunks: { sha256: string; size_bytes: number }[]): void {
    for (const [index, { sha256, size_bytes }] of chunks.entries()) {
      const number = first + index;
      if (session.chunkSize === null && number > session.sizes.length + 1) throw new Error(`a gap before ${number}`);
      if (session.chunkSize === null && number > session.sizes.length) session.sizes.push(size_bytes);
      if (size_bytes !== this.sizeOf(session, number)) throw new Error(`chunk ${number} has another size`);
      if (session.hashes.has(number) && session.hashes.get(number) !== sha256) throw new Error("another hash");
      session.hashes.set(number, sha256);
      if (this.storedChunks.has(sha256) && !session.stored.has(number)) session.reusing.add(number);
    }
  }

  private sizeOf({ chunkSize, sizes, sizeBytes }: Session, number: number): number {
    if (chunkSize === null) return sizes[number - 1] ?? 0;
    return Math.min(chunkSize, sizeBytes - (number - 1) * chunkSize);
  }

  private addChunks(session: Session, first: number, chunks: { sha256: string; size_bytes: number }[]): Response {
    if (session.state !== "active") return problem(409, "upload-ended", { state: session.state });
    this.list(session, first, chunks);
    return Response.json(this.show(session));
  }

  private makeReused(session: Session): void {
    if (this.reuse === "stall") return;
    for (const number of session.reusing) {
      const bytes = this.storedChunks.get(session.hashes.get(number) ?? "");
      if (bytes && this.reuse === "make") session.stored.set(number, bytes);
    }
    session.reusing.clear();
  }

  private count(session: Session): number {
    if (session.chunkSize === null) return session.sizes.length;
    return session.chunkSize ? Math.max(1, Math.ceil(session.sizeBytes / session.chunkSize)) : 1;
  }

  private show(session: Session): object {
    const numbers = Array.from({ length: this.count(session) }, (_, index) => index + 1);
    return {
      id: session.id,
      state: session.state,
      fingerprint: session.fingerprint,
      size_bytes: session.sizeBytes,
      chunking: session.chunkSize === null ? "cdc1" : `fixed:${session.chunkSize}`,
      chunk_size_bytes: session.chunkSize ?? 16 * 2 ** 20,
      chunk_count: this.count(session),
      uploaded: toRanges(numbers.filter((number) => session.stored.has(number))),
      missing: toRanges(numbers.filter((number) => !session.stored.has(number) && !session.reusing.has(number))),
      reusing: toRanges([...session.reusing].toSorted((one, other) => one - other)),
      mismatched: "",
      uploaded_bytes: session.stored.size,
      destinations: session.names.map((name) => ({ name, file_id: "f", problem: null })),
    };
  }

  private listChunks(session: Session): Response {
    const items = [...session.hashes].map(([number, sha256]) => ({ number, sha256 }));
    return Response.json({ items, next_cursor: null });
  }

  private sign(session: Session, parts: { number: number; sha256: string }[]): Response {
    if (session.state !== "active") return problem(409, "upload-ended", { state: session.state });
    for (const { number, sha256 } of parts) {
      const registered = session.hashes.get(number);
      if (registered && registered !== sha256) return problem(409, "chunk-mismatch", { numbers: [number] });
    }
    return Response.json({ parts: this.signParts(session, parts) });
  }

  private signParts(session: Session, parts: { number: number; sha256: string }[]): object[] {
    for (const { number, sha256 } of parts) {
      session.hashes.set(number, sha256);
      session.reusing.delete(number);
    }
    return parts.map(({ number }) => this.signPart(session, number));
  }

  private signPart({ id }: Session, number: number): object {
    this.signatures += 1;
    return { number, url: `https://store.example/${id}/${number}?signature=${this.signatures}`, headers: {} };
  }

  private async complete(session: Session, fingerprint: string | undefined): Promise<Response> {
    session.fingerprint ??= fingerprint ?? null;
    const missing = this.show(session) as { missing: string };
    if (session.state === "aborted") return problem(409, "upload-ended", { state: "aborted" });
    const listed = session.sizes.reduce((sum, size) => sum + size, 0);
    if (session.chunkSize === null && listed < session.sizeBytes)
      return problem(409, "chunks-missing", { listed_bytes: listed, next_number: session.sizes.length + 1 });
    if (missing.missing) return problem(409, "parts-missing", { missing: missing.missing, mismatched: "" });
    if (this.isSlow()) return Response.json(this.show(session), { status: 202, headers: { "Retry-After": "1" } });
    await this.makeFiles(session);
    const { destinations } = this.show(session) as { destinations: object[] };
    return Response.json({ file: { id: "f" }, destinations, state: "completed" });
  }

  private async completeItem(id: string, isLink: boolean): Promise<object> {
    const session = this.sessions.get(id);
    if (!session || session.stored.size < this.count(session))
      return { upload_id: id, problem: describe("parts-missing") };
    if (!this.isSlow()) await this.makeFiles(session);
    else if (!isLink) return { upload_id: id, problem: { ...describe("upload-completing"), retry_after_s: 1 } };
    return { upload_id: id, ...(isLink ? { upload: this.show(session) } : { file: { id: "f" } }) };
  }

  private isSlow(): boolean {
    this.slowCompletions -= 1;
    return this.slowCompletions >= 0;
  }

  private async makeFiles(session: Session): Promise<void> {
    const ordered = [...session.stored].toSorted(([one], [other]) => one - other).map(([, bytes]) => bytes);
    const content = new Blob(ordered);
    if (session.fingerprint !== (await hashBlob(content))) throw new Error("the content differs from its fingerprint");
    session.state = "completed";
    for (const [number, bytes] of session.stored) this.storedChunks.set(session.hashes.get(number) ?? "", bytes);
    for (const name of session.names) this.files.set(name, new Uint8Array(await content.arrayBuffer()));
  }
}

export interface UploadOptions {
  target?: Target;
  /** Sessions by name of the file: those of an earlier run, and those of this one. */
  uploadIds?: Record<string, string>;
  decide?: (job: Job) => Promise<Choice>;
  onReport?: (report: Report, runner: Runner, job: Job) => void;
  /** Ends the wait early. */
  until?: Promise<void>;
}

/** Wait until the signal aborts, as a request without an answer does. */
function failWithSignal(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
}

/** Read a body as a browser does, which reports an unreadable file as a broken connection. */
async function readBody(chunk: Blob): Promise<Uint8Array<ArrayBuffer>> {
  try {
    return new Uint8Array(await chunk.arrayBuffer());
  } catch {
    throw new StoreBusy("No answer from the store");
  }
}

/** Pauses take no time. */
class QuickConnectivity extends Connectivity {
  override async pause(_: number | null, signal: AbortSignal): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve));
    signal.throwIfAborted();
  }
}

function describe(code: Problem["code"]): Problem {
  return { type: code, title: code, status: 409, detail: "What to do.", retryable: false, code } as Problem;
}

function toRanges(numbers: readonly number[]): string {
  const ranges: [number, number][] = [];
  for (const number of numbers) {
    const last = ranges.at(-1);
    if (last?.[1] === number - 1) last[1] = number;
    else ranges.push([number, number]);
  }
  return ranges.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(",");
}
