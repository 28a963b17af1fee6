// SHA-256 of files: WebCrypto for chunks and small files; hash-wasm, loaded on demand, for a whole file in one pass.

import type { IHasher } from "hash-wasm";
import { CDC1, type Chunks } from "../upload/chunks.ts";
import { UploadError } from "../upload/errors.ts";
import { Cutter, MAX_BYTES } from "./cdc.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** Return the SHA-256 of a blob that fits in memory, in hex. */
export async function hashBlob(blob: Blob): Promise<string> {
  return hashBytes(await readBytes(blob));
}

async function hashBytes(bytes: Bytes): Promise<string> {
  if (globalThis.crypto.subtle) return toHex(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)));
  const hasher = await makeHasher(); // a page without https has no WebCrypto
  return hasher.update(bytes).digest("hex");
}

async function makeHasher(): Promise<IHasher> {
  const { createSHA256 } = await import("hash-wasm");
  return (await createSHA256()).init();
}

/** Read a part of a file. Throws UploadError where the browser refuses: the file changed, moved, or is not readable. */
export async function readBytes(blob: Blob): Promise<Bytes> {
  try {
    return new Uint8Array(await blob.arrayBuffer());
  } catch (error) {
    if (!(error instanceof DOMException)) throw error;
    if (error.name === "NotFoundError") throw new UploadError("file-changed", "The file was moved or deleted");
    throw new UploadError("file-unreadable", "The file changed since it was picked, or the browser may not read it");
  }
}

let cutter: Promise<Cutter | null> | null = null;

/** Return what cuts files by their content, null in a browser that runs no WebAssembly. */
export function findCutter(): Promise<Cutter | null> {
  cutter ??= Cutter.create().catch(() => null);
  return cutter;
}

interface ChunkBytes {
  number: number;
  /** Valid until the next chunk is asked for. */
  bytes: Bytes;
}

/** Read chunks in order, each while the one before is used. */
async function* readFixed(file: Blob, chunks: Chunks, numbers: readonly number[]): AsyncGenerator<ChunkBytes> {
  const read = (number: number | undefined) =>
    readAhead(number === undefined ? new Blob() : chunks.slice(file, number));
  let ahead = read(numbers[0]);
  for (const [index, number] of numbers.entries()) {
    const bytes = await ahead;
    ahead = read(numbers[index + 1]);
    yield { number, bytes };
  }
}

/** Read the whole file through a window of the largest chunk; append to `chunks` those that the content defines. */
async function* readDefined(file: Blob, chunks: Chunks): AsyncGenerator<ChunkBytes> {
  const cutter = await findCutter();
  if (!cutter) throw new Error("The browser runs no WebAssembly");
  const window = new Uint8Array(Math.min(MAX_BYTES, file.size));
  let ahead = readAhead(file.slice(0, window.length));
  let filled = 0;
  for (let number = 1, offset = 0; offset < file.size; number++) {
    const more = await ahead;
    window.set(more, filled);
    filled += more.length;
    const isKnown = number <= chunks.count;
    const size = isKnown ? chunks.bytesOf(number) : chunks.append(cutter.findCut(window.subarray(0, filled)));
    ahead = readAhead(file.slice(offset + filled, offset + size + window.length));
    yield { number, bytes: window.subarray(0, size) };
    window.copyWithin(0, size, filled);
    filled -= size;
    offset += size;
  }
}

function readAhead(blob: Blob): Promise<Bytes> {
  const bytes = readBytes(blob);
  bytes.catch(() => undefined); // awaited in its turn
  return bytes;
}

/** Hash the first chunk; its end is appended to a plan that the content defines. */
export async function hashFirstChunk(file: Blob, chunks: Chunks): Promise<string> {
  if (chunks.chunking !== CDC1) return hashBlob(chunks.slice(file, 1));
  for await (const { bytes } of readDefined(file, chunks)) return hashBytes(bytes);
  return hashBlob(file);
}

export interface HashingOptions {
  file: Blob;
  chunks: Chunks;
  /** The fingerprint, where it is known: only the chunks `wanted` are read then. */
  fingerprint: string | null;
  /** Ascending. */
  wanted: readonly number[];
  /** Hashes of chunks that are known already. */
  known?: ReadonlyMap<number, string>;
  signal: AbortSignal;
  onChunk?: (number: number, sizeBytes: number) => void;
}

/** Hashes chunks in ascending order, and the whole file with them where its fingerprint is unknown. */
export class FileHasher {
  readonly hashes: Map<number, string>;
  /** The fingerprint. */
  readonly done: Promise<string>;
  isDone = false;
  private advanced = Promise.withResolvers<void>();

  constructor(private readonly options: HashingOptions) {
    this.hashes = new Map(options.known);
    this.done = this.run().finally(() => {
      this.isDone = true;
      this.advanced.resolve();
    });
    this.done.catch(() => undefined); // callers await it later
  }

  /** Wait for the next chunk, or for the end. */
  async next(): Promise<void> {
    await this.advanced.promise;
    if (this.isDone) await this.done;
  }

  private async run(): Promise<string> {
    const { chunks, fingerprint, wanted } = this.options;
    if (fingerprint !== null) {
      if (chunks.count === 1) this.hashes.set(1, fingerprint);
      await this.hashChunks(wanted.filter((number) => !this.hashes.has(number)));
      return fingerprint;
    }
    const numbers = Array.from({ length: chunks.count }, (_, index) => index + 1);
    const isOne = chunks.isComplete && chunks.count === 1;
    const whole = isOne ? null : await makeHasher();
    await this.hashChunks(numbers, whole);
    return whole ? whole.digest("hex") : (this.hashes.get(1) ?? "");
  }

  private async hashChunks(numbers: readonly number[], whole: IHasher | null = null): Promise<void> {
    const { file, chunks, signal, onChunk } = this.options;
    const isDefined = chunks.chunking === CDC1 && whole !== null;
    for await (const { number, bytes } of isDefined ? readDefined(file, chunks) : readFixed(file, chunks, numbers)) {
      signal.throwIfAborted();
      const digest = this.hashes.get(number) ?? hashBytes(bytes); // on another thread of the browser, meanwhile:
      whole?.update(bytes);
      this.hashes.set(number, await digest);
      onChunk?.(number, bytes.length);
      this.advanced.resolve();
      this.advanced = Promise.withResolvers();
    }
    signal.throwIfAborted();
  }
}

function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
