// The chunks of a file, and the ranges ("1-120,130") that name them in the protocol. Pure.

const MIB = 1024 ** 2;
const TARGET_CHUNKS = 9_000;

/** The chunking where the content says where chunks end. */
export const CDC1 = "cdc1" as const;

/** Return the name of the chunking with chunks of this size, the last one shorter. */
export function fixed(chunkSizeBytes: number): string {
  return `fixed:${chunkSizeBytes}`;
}

/**
 * Where the chunks of a file begin and end; numbered from 1.
 *
 * A plan of fixed sizes is complete. One that the content defines grows while the file is read. An empty file has one
 * empty fixed chunk.
 */
export class Chunks {
  /** Of fixed chunks, else null. */
  readonly chunkSizeBytes: number | null;
  private readonly ends: number[] = [];

  constructor(
    readonly sizeBytes: number,
    readonly chunking: string,
  ) {
    this.chunkSizeBytes = chunking === CDC1 ? null : Number(/^fixed:(\d+)$/.exec(chunking)?.[1] ?? Number.NaN);
    if (Number.isNaN(this.chunkSizeBytes)) throw new RangeError(`the chunking ${chunking} is unknown`);
  }

  get count(): number {
    if (this.chunkSizeBytes === null) return this.ends.length;
    return this.chunkSizeBytes ? Math.max(1, Math.ceil(this.sizeBytes / this.chunkSizeBytes)) : 1;
  }

  get isComplete(): boolean {
    return this.endOf(this.count) === this.sizeBytes;
  }

  /** Add the next chunk of a plan that the content defines; return its size. */
  append(sizeBytes: number): number {
    this.ends.push(this.endOf(this.count) + sizeBytes);
    return sizeBytes;
  }

  /** Return where a chunk ends; 0 before the first one. */
  endOf(number: number): number {
    if (this.chunkSizeBytes === null) return this.ends[number - 1] ?? 0;
    return Math.min(number * this.chunkSizeBytes, this.sizeBytes);
  }

  offsetOf(number: number): number {
    return this.endOf(number - 1);
  }

  bytesOf(number: number): number {
    return this.endOf(number) - this.offsetOf(number);
  }

  /** Return the part of the file that a chunk covers. It has no type: the store signs none. */
  slice(file: Blob, number: number): Blob {
    return file.slice(this.offsetOf(number), this.endOf(number));
  }
}

/** Return the chunk size that the server chooses by default, so that one pass hashes the file before a session exists. */
export function expectChunkBytes(sizeBytes: number, defaultChunkBytes: number): number {
  const needed = Math.ceil(sizeBytes / TARGET_CHUNKS);
  return Math.ceil(Math.max(defaultChunkBytes, needed) / MIB) * MIB;
}

/** Return the ascending chunk numbers of ranges; "" has none. Throws RangeError for any other text. */
export function parseRanges(text: string, maxCount = 10_000): number[] {
  const numbers: number[] = [];
  for (const item of text === "" ? [] : text.split(",")) {
    const match = /^([1-9]\d{0,8})(?:-([1-9]\d{0,8}))?$/.exec(item);
    const first = Number(match?.[1]);
    const last = Number(match?.[2] ?? first);
    // Ranges are maximal and ascending: each begins two or more after the end of the one before.
    const isCanonical = match && (match[2] === undefined || last > first) && first > (numbers.at(-1) ?? -1) + 1;
    if (!isCanonical || numbers.length + last - first + 1 > maxCount) throw new RangeError(`not ranges: ${text}`);
    for (let number = first; number <= last; number++) numbers.push(number);
  }
  return numbers;
}
