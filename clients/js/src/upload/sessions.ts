// Upload sessions at the server: of an account, and under an upload link. One request each; no retries.

import type { Client, Schemas } from "../api.ts";
import { ApiProblem } from "../problems.ts";
import { hashBlob } from "../worker/hash.ts";
import { CDC1, fixed } from "./chunks.ts";
import { UploadError } from "./errors.ts";
import type { Job, Target } from "./job.ts";

export type SignedPart = Schemas["SignedPart"];
/** What both kinds of sessions tell. */
export type Session = Schemas["Upload"] | Schemas["LinkUpload"];

const SIGNED_FIRST = 4;

/** Return how the content of a session is cut; a link has fixed chunks only. */
export function readChunking(session: Session): string {
  return "chunking" in session ? session.chunking : fixed(session.chunk_size_bytes);
}

/** Return the chunks that the server makes from stored bytes now, as ranges. */
export function readReusing(session: Session): string {
  return "reusing" in session ? session.reusing : "";
}

/** A chunk as requests list it. */
export type ListedChunk = Schemas["ListedChunk"];

/** The first chunks of a file, whose hashes are known when its session starts. */
export interface FirstChunks {
  chunking: string;
  chunks: readonly ListedChunk[];
  /** Whether the server is to reuse those that the account stores. */
  isListed: boolean;
}

export interface ChunkHash {
  number: number;
  sha256: string;
}

/** What a start answers: a session, or the file where the account has the content. */
export interface Started {
  session: Session | null;
  fileId: string | null;
  parts: readonly SignedPart[];
  isNew: boolean;
}

/** The end of a completed upload. `refusal` says why the file could not take its name. */
export interface Completed {
  fileId: string | null;
  refusal: Schemas["Problem"] | null;
}

export interface NewSession {
  job: Job;
  /** Of the job's folders; null for a link, which makes them itself. */
  parentId: string | null;
  fingerprint: string | null;
  /** For a plan of several chunks: the start signs some, too. */
  first: FirstChunks | null;
}

/** The answer about one file of a batch. */
export type BatchStart = Started | { problem: ApiProblem };

/** The end of one file of a batch: null where `complete` says why it failed. */
export type BatchEnd = Completed | ApiProblem | number | null;

export interface Limits {
  singleMaxBytes: number;
  chunkSizeBytes: number;
  /** The largest file with content-defined chunks; 0: there are none. */
  cdc1MaxBytes: number;
  /** Files in one batch. */
  batchItems: number;
}

export interface Sessions {
  readLimits(): Promise<Limits>;
  start(wanted: NewSession): Promise<Started>;
  startBatch(wanted: readonly NewSession[]): Promise<BatchStart[]>;
  reconcile(id: string): Promise<Session>;
  /** Return a session when no chunk of it is being reused any more, or after some seconds. */
  look(id: string, waitS: number): Promise<Session>;
  /** List chunks of the file from number `first` on. */
  addChunks(id: string, first: number, chunks: readonly ListedChunk[]): Promise<Session>;
  /** Return how the content is cut that an upload replaces: the file with this id, or at the name of the job. */
  readReplaced(wanted: NewSession, fileId: string | null): Promise<{ chunking: string; sizeBytes: number } | null>;
  /** Sign chunks: all of them, or the first ones that have room. */
  sign(id: string, chunks: readonly ChunkHash[]): Promise<readonly SignedPart[]>;
  /** List the registered hashes of a session; empty for a link, which shows none. */
  listHashes(id: string): Promise<ChunkHash[]>;
  /** Name the content of a session that was started without; the answer is the session to continue. */
  bind(id: string, fingerprint: string): Promise<Started | null>;
  /** Complete; a number of seconds means that the store still assembles. */
  complete(job: Job, id: string, fingerprint: string): Promise<Completed | number>;
  /** Complete; an answer about a file may be a number of seconds, as for `complete`. */
  completeBatch(ended: readonly { job: Job; id: string; fingerprint: string }[]): Promise<BatchEnd[]>;
  /** Name another destination for stored content. */
  place(wanted: NewSession, id: string): Promise<void>;
  abort(id: string): Promise<void>;
}

export function openSessions(client: Client, target: Target): Sessions {
  return target.kind === "account" ? new AccountSessions(client) : new LinkSessions(client, target);
}

class AccountSessions implements Sessions {
  private limits: Promise<Limits> | null = null;

  constructor(private readonly client: Client) {}

  readLimits(): Promise<Limits> {
    this.limits ??= this.fetchLimits().catch((error: unknown) => {
      this.limits = null;
      throw error;
    });
    return this.limits;
  }

  private async fetchLimits(): Promise<Limits> {
    const { data } = await this.client.api.GET("/v1/capabilities");
    return {
      singleMaxBytes: data.single_max_bytes,
      chunkSizeBytes: data.chunk_size_bytes,
      cdc1MaxBytes: data.cdc1_max_bytes ?? 0, // an earlier server tells none
      batchItems: data.batch_items,
    };
  }

  async start(wanted: NewSession): Promise<Started> {
    const { data, response } = await this.client.api.POST("/v1/uploads", { body: describeUpload(wanted) });
    return readStarted(data, response.status === 201);
  }

  async startBatch(wanted: readonly NewSession[]): Promise<BatchStart[]> {
    const { data } = await this.client.api.POST("/v1/uploads/batch", { body: { items: wanted.map(describeUpload) } });
    return data.items.map((item) => (item.problem ? { problem: toProblem(item.problem) } : readStarted(item, true)));
  }

  async reconcile(id: string): Promise<Session> {
    return (await this.client.api.POST("/v1/uploads/{upload_id}/reconcile", inSession(id))).data;
  }

  async look(id: string, waitS: number): Promise<Session> {
    const params = { path: { upload_id: id }, query: { wait_s: waitS } };
    return (await this.client.api.GET("/v1/uploads/{upload_id}", { params })).data;
  }

  async addChunks(id: string, first: number, chunks: readonly ListedChunk[]): Promise<Session> {
    const params = { path: { upload_id: id }, query: { from: first } };
    const body = { chunks: [...chunks] };
    return (await this.client.api.PUT("/v1/uploads/{upload_id}/chunks", { params, body })).data;
  }

  async readReplaced({ job, parentId }: NewSession, fileId: string | null) {
    const id = fileId ?? (await this.findFile(parentId, job.name));
    const params = { path: { file_id: id }, query: { limit: 1 } };
    const { data } = await this.client.api.GET("/v1/files/{file_id}/manifest", { params });
    return { chunking: data.chunking, sizeBytes: data.size_bytes };
  }

  private async findFile(parentId: string | null, name: string): Promise<string> {
    const { api } = this.client;
    if (parentId === null)
      return (await api.GET("/v1/files/by-path", { params: { query: { path: `/${name}` } } })).data.id;
    const params = { path: { file_id: parentId }, query: { path: name } };
    return (await api.GET("/v1/files/{file_id}/by-path", { params })).data.id;
  }

  async sign(id: string, chunks: readonly ChunkHash[]): Promise<readonly SignedPart[]> {
    const body = { parts: [...chunks] };
    return (await this.client.api.POST("/v1/uploads/{upload_id}/parts", { ...inSession(id), body })).data.parts;
  }

  async listHashes(id: string): Promise<ChunkHash[]> {
    const hashes: ChunkHash[] = [];
    for (let cursor: string | null | undefined; cursor !== null; ) {
      const query = { limit: 1000, ...(cursor && { cursor }) };
      const params = { path: { upload_id: id }, query };
      const { data } = await this.client.api.GET("/v1/uploads/{upload_id}/chunks", { params });
      for (const { number, sha256 } of data.items) if (sha256) hashes.push({ number, sha256 });
      cursor = data.next_cursor;
    }
    return hashes;
  }

  async bind(id: string, fingerprint: string): Promise<Started> {
    const request = { ...inSession(id), body: { fingerprint } };
    return readStarted((await this.client.api.PUT("/v1/uploads/{upload_id}/fingerprint", request)).data, false);
  }

  async complete(job: Job, id: string): Promise<Completed | number> {
    const { data, response } = await this.client.api.POST("/v1/uploads/{upload_id}/complete", inSession(id));
    if (!("file" in data)) return Number(response.headers.get("Retry-After")) || 1;
    // The session may have destinations of other devices.
    const name = job.name.normalize("NFC");
    const own = data.destinations.findLast((each) => each.name === name) ?? data.destinations.at(-1);
    return { fileId: own?.file_id ?? data.file.id, refusal: own?.problem ?? null };
  }

  async completeBatch(ended: readonly { id: string }[]): Promise<BatchEnd[]> {
    const body = { upload_ids: ended.map(({ id }) => id) };
    const { data } = await this.client.api.POST("/v1/uploads/batch/complete", { body });
    return data.items.map(({ file, problem }) => {
      if (problem?.code === "upload-completing") return problem.retry_after_s;
      return problem ? toProblem(problem) : { fileId: file?.id ?? null, refusal: null };
    });
  }

  async place(wanted: NewSession, id: string): Promise<void> {
    const { destination, client_modified_at = null } = describeUpload(wanted);
    const request = { ...inSession(id), body: { destination, client_modified_at } };
    await this.client.api.POST("/v1/uploads/{upload_id}/destinations", request);
  }

  async abort(id: string): Promise<void> {
    await this.client.api.DELETE("/v1/uploads/{upload_id}", inSession(id));
  }
}

const LINK = "/v1/public/links/{token}/uploads";
/** Sessions that one address may have under a link, but one for a large file. */
const LINK_BATCH_ITEMS = 4;
const MIB = 1024 ** 2;

class LinkSessions implements Sessions {
  private secretHash: Promise<string> | null = null;

  constructor(
    private readonly client: Client,
    private readonly target: Extract<Target, { kind: "link" }>,
  ) {}

  /** What servers have by default: a link tells no limits. Where it asks for a fingerprint, the file is small. */
  async readLimits(): Promise<Limits> {
    return { singleMaxBytes: 8 * MIB, chunkSizeBytes: 8 * MIB, cdc1MaxBytes: 0, batchItems: LINK_BATCH_ITEMS };
  }

  async start(wanted: NewSession): Promise<Started> {
    const body = { secret_sha256: await this.hashSecret(), ...describeLinkUpload(wanted) };
    const { data, response } = await this.client.api.POST(LINK, { ...this.atLink(), body });
    return readLinkStarted(data, response.status === 201);
  }

  async startBatch(wanted: readonly NewSession[]): Promise<BatchStart[]> {
    const body = { secret_sha256: await this.hashSecret(), items: wanted.map(describeLinkUpload) };
    const { data } = await this.client.api.POST(`${LINK}/batch`, { ...this.atLink(), body });
    return data.items.map((item) =>
      item.problem ? { problem: toProblem(item.problem) } : readLinkStarted(item, true),
    );
  }

  async reconcile(id: string): Promise<Session> {
    return (await this.client.api.POST(`${LINK}/{upload_id}/reconcile`, this.inSession(id))).data;
  }

  async sign(id: string, chunks: readonly ChunkHash[]): Promise<readonly SignedPart[]> {
    const request = { ...this.inSession(id), body: { parts: [...chunks] } };
    return (await this.client.api.POST(`${LINK}/{upload_id}/parts`, request)).data.parts;
  }

  async look(id: string): Promise<Session> {
    return this.reconcile(id); // a sender's chunks are not reused
  }

  async addChunks(id: string): Promise<Session> {
    return this.reconcile(id);
  }

  async readReplaced(): Promise<null> {
    return null;
  }

  async listHashes(): Promise<ChunkHash[]> {
    return [];
  }

  async bind(): Promise<null> {
    return null; // the request to complete names the content
  }

  async complete(_: Job, id: string, fingerprint: string): Promise<Completed | number> {
    const request = { ...this.inSession(id), body: { fingerprint } };
    const { data, response } = await this.client.api.POST(`${LINK}/{upload_id}/complete`, request);
    if (data.state === "failed")
      throw new UploadError("folder-refused", data.failure ?? "The folder takes no more files");
    return data.state === "completed" ? ENDED : Number(response.headers.get("Retry-After")) || 1;
  }

  async completeBatch(ended: readonly { id: string; fingerprint: string }[]): Promise<BatchEnd[]> {
    const body = { items: ended.map(({ id, fingerprint }) => ({ upload_id: id, fingerprint })) };
    const { data } = await this.client.api.POST(`${LINK}/batch/complete`, { ...this.withSecret(), body });
    return data.items.map(({ upload, problem }) => {
      if (problem) return toProblem(problem);
      if (upload?.state === "failed") return null;
      return upload?.state === "completed" ? ENDED : 1;
    });
  }

  async place(): Promise<void> {
    // A taken name becomes `name (1)` at a link: no destination is refused.
  }

  async abort(id: string): Promise<void> {
    await this.client.api.DELETE(`${LINK}/{upload_id}`, this.inSession(id));
  }

  private atLink() {
    return { params: { path: { token: this.target.token } } };
  }

  private withSecret() {
    const { token, secret } = this.target;
    return { params: { path: { token }, header: { "X-Upload-Secret": secret } } };
  }

  private inSession(id: string) {
    const { token, secret } = this.target;
    return { params: { path: { token, upload_id: id }, header: { "X-Upload-Secret": secret } } };
  }

  private hashSecret(): Promise<string> {
    this.secretHash ??= hashBlob(new Blob([this.target.secret]));
    return this.secretHash;
  }
}

const ENDED: Completed = { fileId: null, refusal: null };

function inSession(id: string) {
  return { params: { path: { upload_id: id } } };
}

function describeUpload({ job, parentId, fingerprint, first }: NewSession): Schemas["CreateUpload"] {
  const { file, name, onConflict } = job;
  return {
    size_bytes: file.size,
    destination: { name, on_conflict: onConflict, ...(parentId && { parent_id: parentId }) },
    ...(fingerprint && { fingerprint }),
    ...(first && describeFirst(first)),
    ...(file.lastModified && { client_modified_at: new Date(file.lastModified).toISOString() }),
  };
}

function describeLinkUpload({ job, fingerprint, first }: NewSession): Schemas["LinkUploadItem"] {
  return {
    client_ref: job.id,
    name: job.name,
    size_bytes: job.file.size,
    ...(job.folders.length && { folder_path: job.folders.join("/") }),
    ...(fingerprint && { fingerprint }),
    ...(first && describeFixed(first)),
  };
}

function describeFirst(first: FirstChunks) {
  const chunks = [...first.chunks];
  if (first.chunking === CDC1) return { chunking: CDC1, chunks, parts: chooseParts(first) };
  return { ...describeFixed(first), ...(first.isListed && { chunks }) };
}

function describeFixed(first: FirstChunks) {
  return { chunk_size_bytes: Number(first.chunking.slice("fixed:".length)), parts: chooseParts(first) };
}

/** Return the parts that a start signs, unless their chunks are reused. */
function chooseParts({ chunks }: FirstChunks): ChunkHash[] {
  return chunks.slice(0, SIGNED_FIRST).map(({ sha256 }, index) => ({ number: index + 1, sha256 }));
}

function readStarted(
  { upload, file, parts }: { upload?: Session | null; file?: { id: string } | null; parts?: readonly SignedPart[] },
  isNew: boolean,
): Started {
  return { session: upload ?? null, fileId: file?.id ?? null, parts: parts ?? [], isNew };
}

function readLinkStarted(
  { upload, parts }: { upload?: Session | null; parts?: readonly SignedPart[] },
  isNew: boolean,
): Started {
  return { session: upload ?? null, fileId: null, parts: parts ?? [], isNew };
}

/** Item problems of batches have no answer of their own. */
function toProblem(problem: Schemas["Problem"]): ApiProblem {
  const retryAfterS =
    "retry_after_s" in problem && typeof problem.retry_after_s === "number" ? problem.retry_after_s : null;
  return new ApiProblem(problem, problem.status, retryAfterS);
}
