// Fixed-size chunks of a file, and the ranges ("1-120,130") that name them in the protocol. Pure.

const MIB = 1024 ** 2;
const TARGET_CHUNKS = 9_000;

/** The chunks of a file: `chunkSizeBytes` each, the last one shorter, numbered from 1. An empty file has one. */
export class Chunks {
  readonly count: number;

  constructor(
    readonly sizeBytes: number,
    readonly chunkSizeBytes: number,
  ) {
    this.count = chunkSizeBytes ? Math.max(1, Math.ceil(sizeBytes / chunkSizeBytes)) : 1;
  }

  offsetOf(number: number): number {
    return (number - 1) * this.chunkSizeBytes;
  }

  bytesOf(number: number): number {
    return Math.min(this.chunkSizeBytes, this.sizeBytes - this.offsetOf(number));
  }

  /** Return the part of the file that a chunk covers. It has no type: the store signs none. */
  slice(file: Blob, number: number): Blob {
    const begin = this.offsetOf(number);
    return file.slice(begin, begin + this.bytesOf(number));
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
