// Sends the chunks of one session: lists those that the server does not know, signs those that are hashed and not reused, PUTs
// them through the lanes, and retries each by itself.

import { isProblem } from "../problems.ts";
import { MAX_BYTES } from "../worker/cdc.ts";
import { type FileHasher, hashBlob, readBytes } from "../worker/hash.ts";
import type { Put } from "../worker/put.ts";
import { type Chunks, parseRanges } from "./chunks.ts";
import { readRetry, SessionGone, UploadError } from "./errors.ts";
import { type RetryWindow, retry } from "./retry.ts";
import { type ChunkHash, type ListedChunk, readReusing, type Session, type SignedPart } from "./sessions.ts";
import { SigningBatches } from "./signing.ts";
import type { TransferContext } from "./transfer.ts";

const MAX_EXPIRED_URLS = 5;
const MAX_DAMAGED_TRIES = 5;
/** Chunks that one call lists: few at first, so that their bytes leave soon. */
const FIRST_PAGE = 8;
const LARGEST_PAGE_WHILE_HASHING = 64;
export const LARGEST_PAGE = 1000;

/** Call the server until it answers. */
export function callServer<Result>(
  context: TransferContext,
  window: RetryWindow,
  operation: () => Promise<Result>,
): Promise<Result> {
  const { connectivity, signal, report } = context;
  const onWait = (reason: "offline" | "retrying") => report({ type: "waiting", reason });
  return retry({ window, connectivity, signal, onWait, readRetry: readServerRetry }, operation);
}

/** An assembling store is no failure: `complete` waits for it. */
function readServerRetry(error: unknown): number | null {
  return isProblem(error, "upload-completing") ? null : readRetry(error);
}

/** Throw UploadError if the browser cannot read the file any more, as when it changed. */
export async function requireReadable(file: Blob): Promise<void> {
  await readBytes(file.slice(Math.max(0, file.size - 1)));
}

/** Return chunks as requests list them. */
export function listChunks(
  chunks: Chunks,
  hashes: ReadonlyMap<number, string>,
  numbers: readonly number[],
): ListedChunk[] {
  return numbers.map((number) => ({ sha256: hashes.get(number) ?? "", size_bytes: chunks.bytesOf(number) }));
}

/** A part on its way. */
interface Flight {
  sentBytes: number;
  /** Whether its request is under way. */
  isActive: boolean;
  /** Why it is not, after a failure. */
  waitsFor: "offline" | "retrying" | null;
  done: Promise<void>;
}

/** Sends chunks of one session through the lanes. Single use. */
export class Sender {
  private readonly inFlight = new Map<number, Flight>();
  private storedBytes = 0;
  private page = FIRST_PAGE;
  private readonly uploadId: string;
  /** Chunks that are left to the server. */
  readonly left: Set<number>;
  private failure: unknown;
  private hasFailed = false;
  private landed = Promise.withResolvers<void>();

  constructor(
    private readonly context: TransferContext,
    private readonly window: RetryWindow,
    session: Session,
    /** How many chunks the server knows. */
    public listed: number,
    private readonly file: Blob,
    private readonly chunks: Chunks,
    private readonly hasher: FileHasher,
    private readonly signal: AbortSignal,
  ) {
    this.uploadId = session.id;
    this.left = new Set(parseRanges(readReusing(session)));
  }

  /**
   * Send the chunks `todo` (ascending); `signed` has parts that are signed already. Throws what ends the upload.
   *
   * Chunks after the `listed` ones are listed first, and sent if the server answers that they are missing.
   */
  async send(todo: readonly number[], signed: readonly SignedPart[]): Promise<void> {
    const wanted = new Set(todo.filter((number) => number <= this.listed));
    this.storedBytes = this.chunks.endOf(this.listed);
    for (const number of wanted) {
      this.storedBytes -= this.chunks.bytesOf(number);
      this.left.delete(number);
    }
    this.reportBytes();
    for (const part of signed) if (wanted.delete(part.number)) this.launch(part);
    const unsigned = [...wanted];
    const batches = new SigningBatches(this.chunks.chunkSizeBytes ?? MAX_BYTES);
    while (unsigned.length || this.inFlight.size || !this.isListed) {
      if (this.hasFailed) throw this.failure;
      this.signal.throwIfAborted();
      const page = this.choosePage(unsigned.length > 0);
      if (page) {
        unsigned.push(...(await this.listPage(page)));
        continue;
      }
      const count = this.chooseBatch(batches, unsigned);
      if (count) {
        await this.signAndLaunch(unsigned, count);
        batches.grow(!this.hasher.isDone, this.context.lanes.rate);
      } else {
        await this.waitForNews(unsigned.length > 0 || !this.isListed);
      }
    }
    if (this.hasFailed) throw this.failure;
  }

  /** Wait until no request is under way. */
  async settle(): Promise<void> {
    await Promise.all([...this.inFlight.values()].map(({ done }) => done));
  }

  private get isListed(): boolean {
    return this.chunks.isComplete && this.listed === this.chunks.count;
  }

  /** Return how many hashed chunks to list now, 0 to wait for more of them. */
  private choosePage(hasUnsigned: boolean): number {
    const { hashes, isDone } = this.hasher;
    let ready = 0;
    while (ready < LARGEST_PAGE && hashes.has(this.listed + ready + 1)) ready++;
    const isBusy = hasUnsigned || this.inFlight.size >= this.context.lanes.limit;
    return isDone || ready >= (isBusy ? this.page : FIRST_PAGE) ? ready : 0;
  }

  /** List chunks; return those that must be sent. */
  private async listPage(count: number): Promise<number[]> {
    const first = this.listed + 1;
    const numbers = Array.from({ length: count }, (_, index) => first + index);
    const chunks = listChunks(this.chunks, this.hasher.hashes, numbers);
    const context = { ...this.context, signal: this.signal };
    const list = () => this.context.sessions.addChunks(this.uploadId, first, chunks);
    const session = await callServer(context, this.window, list);
    this.listed += count;
    this.page = Math.min(8 * this.page, LARGEST_PAGE_WHILE_HASHING);
    const missing = new Set(parseRanges(session.missing));
    for (const number of parseRanges(readReusing(session))) if (number >= first) this.left.add(number);
    for (const number of numbers) if (!missing.has(number)) this.storedBytes += this.chunks.bytesOf(number);
    this.reportBytes();
    return numbers.filter((number) => missing.has(number));
  }

  private chooseBatch(batches: SigningBatches, unsigned: readonly number[]): number {
    const { size: inFlight } = this.inFlight;
    const firstUnhashed = unsigned.findIndex((number) => !this.hasher.hashes.has(number));
    const ready = firstUnhashed < 0 ? unsigned.length : firstUnhashed;
    return batches.choose({ ready, left: unsigned.length, inFlight, lanes: this.context.lanes.limit });
  }

  private async signAndLaunch(unsigned: number[], count: number): Promise<void> {
    const wanted = unsigned.slice(0, count).map((number) => this.hashOf(number));
    const parts = await this.sign(wanted);
    unsigned.splice(0, parts.length); // a link signs the first ones that have room
    for (const part of parts) this.launch(part);
  }

  private hashOf(number: number): ChunkHash {
    return { number, sha256: this.hasher.hashes.get(number) ?? "" };
  }

  private sign(wanted: ChunkHash[]): Promise<readonly SignedPart[]> {
    const context = { ...this.context, signal: this.signal };
    return callServer(context, this.window, () => this.context.sessions.sign(this.uploadId, wanted));
  }

  private async waitForNews(needsHashes: boolean): Promise<void> {
    const news = [this.landed.promise];
    if (needsHashes && this.hasher.isDone)
      await this.hasher.done; // it may have failed during another wait
    else if (needsHashes) news.push(this.hasher.next());
    await Promise.race(news);
  }

  private launch(part: SignedPart): void {
    const flight: Flight = { sentBytes: 0, isActive: false, waitsFor: null, done: Promise.resolve() };
    this.inFlight.set(part.number, flight);
    flight.done = this.sendPart(part, flight)
      .then(() => {
        flight.sentBytes = 0;
        this.storedBytes += this.chunks.bytesOf(part.number);
        this.reportBytes();
      })
      .catch((error: unknown) => {
        if (!this.hasFailed) [this.hasFailed, this.failure] = [true, error];
      })
      .finally(() => {
        this.inFlight.delete(part.number);
        this.landed.resolve();
        this.landed = Promise.withResolvers();
      });
  }

  /** Send a part until the store has it. */
  private async sendPart(part: SignedPart, flight: Flight): Promise<void> {
    let current = part;
    let expired = 0;
    let damaged = 0;
    for (;;) {
      const result = await this.put(current, flight);
      if (result === "stored") return;
      flight.sentBytes = 0;
      if (result === "gone") throw new SessionGone(`The store does not know the upload of part ${part.number}`);
      if (result === "damaged") {
        damaged += 1;
        await this.requireUnchanged(part.number, damaged === MAX_DAMAGED_TRIES);
      } else {
        expired += 1;
        if (expired === MAX_EXPIRED_URLS)
          throw new UploadError("store-refused", `The store refuses the signed URL of part ${part.number}`);
        const [again] = await this.sign([this.hashOf(part.number)]);
        if (again) current = again;
      }
    }
  }

  private put(part: SignedPart, flight: Flight): ReturnType<Put> {
    const { lanes, connectivity } = this.context;
    const { window, signal } = this;
    const onWait = (reason: "offline" | "retrying") => {
      flight.waitsFor = reason;
      this.reportBytes();
    };
    const chunk = this.chunks.slice(this.file, part.number);
    return retry({ window, connectivity, signal, onWait, readRetry }, async () => {
      const free = await lanes.acquire(signal);
      flight.isActive = true;
      flight.waitsFor = null;
      try {
        const onProgress = (sentBytes: number) => {
          flight.sentBytes = Math.min(sentBytes, chunk.size);
          this.reportBytes();
        };
        const result = await this.context.put(part, chunk, { signal, onProgress });
        if (result === "stored") lanes.recordPart(chunk.size);
        return result;
      } catch (error) {
        flight.sentBytes = 0;
        if (readRetry(error) !== null) {
          lanes.recordRefusal();
          await requireReadable(chunk); // a browser reports a file that changed as a broken connection
        }
        throw error;
      } finally {
        flight.isActive = false;
        free();
      }
    });
  }

  private async requireUnchanged(number: number, isLastTry: boolean): Promise<void> {
    if ((await hashBlob(this.chunks.slice(this.file, number))) !== this.hasher.hashes.get(number)) {
      throw new UploadError("file-changed", "The file changed while it was sent");
    }
    if (isLastTry) throw new UploadError("store-refused", `The store received part ${number} damaged again and again`);
  }

  /** Report what is sent; or why nothing is, where each part that has begun waits. */
  private reportBytes(): void {
    const flights = [...this.inFlight.values()];
    const waiting = flights.find(({ waitsFor }) => waitsFor);
    if (waiting?.waitsFor && !flights.some(({ isActive }) => isActive)) {
      this.context.report({ type: "waiting", reason: waiting.waitsFor });
    } else {
      const sentBytes = flights.reduce((sum, flight) => sum + flight.sentBytes, this.storedBytes);
      this.context.report({ type: "sending", sentBytes });
    }
  }
}
