// Upload sessions at the server: of an account, and under an upload link. One request each; no retries.

import type { Client, Schemas } from "../api.ts";
import { ApiProblem } from "../problems.ts";
import { hashBlob } from "../worker/hash.ts";
import { UploadError } from "./errors.ts";
import type { Job, Target } from "./job.ts";

export type SignedPart = Schemas["SignedPart"];
/** What both kinds of sessions tell. */
export type Session = Schemas["Upload"] | Schemas["LinkUpload"];

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
  /** The hash of the first chunk, for a plan of several chunks of this size: the start signs it, too. */
  first: { sha256: string; chunkSizeBytes: number } | null;
}

/** The answer about one file of a batch. */
export type BatchStart = Started | { problem: ApiProblem };

/** The end of one file of a batch: null where `complete` says why it failed. */
export type BatchEnd = Completed | ApiProblem | number | null;

export interface Limits {
  singleMaxBytes: number;
  chunkSizeBytes: number;
  /** Files in one batch. */
  batchItems: number;
}

export interface Sessions {
  readLimits(): Promise<Limits>;
  start(wanted: NewSession): Promise<Started>;
  startBatch(wanted: readonly NewSession[]): Promise<BatchStart[]>;
  reconcile(id: string): Promise<Session>;
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
    const { single_max_bytes, chunk_size_bytes, batch_items } = data;
    return { singleMaxBytes: single_max_bytes, chunkSizeBytes: chunk_size_bytes, batchItems: batch_items };
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
    return { singleMaxBytes: 8 * MIB, chunkSizeBytes: 8 * MIB, batchItems: LINK_BATCH_ITEMS };
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
    ...describeFirst(first),
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
    ...describeFirst(first),
  };
}

function describeFirst(first: NewSession["first"]) {
  return first && { chunk_size_bytes: first.chunkSizeBytes, parts: [{ number: 1, sha256: first.sha256 }] };
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
