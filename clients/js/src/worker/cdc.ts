// Content-defined chunks, format "cdc1" (`dropbox_client/transfer/cdc.py` defines it): a file is cut where its bytes say, so that
// an edit changes the chunks around it alone. The loop over the bytes is WebAssembly, as fast as native code; a script takes five times as long.

const MIB = 1024 ** 2;
export const MIN_BYTES = 5 * MIB;
export const MAX_BYTES = 16 * MIB;

/** Bytes of the table: entry b, 8 bytes little-endian, is what a byte b adds to the hash. The window follows it. */
const TABLE_BYTES = 2048;

/**
 * A module with the memory "m" and the function "f", which returns the first of the positions begin <= p < end at which
 * the chunk ends, else `end`:
 *
 *     hash = 0
 *     for p in begin .. end:
 *       hash = (hash << 1) + table[byte at p]
 *       if hash & 0x0000d91767537000 == 0: return p
 */
// biome-ignore format: one instruction a line
const MODULE = new Uint8Array([
  0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00, // "\0asm", version 1
  0x01, 0x07, 0x01, 0x60, 0x02, 0x7f, 0x7f, 0x01, 0x7f, // type 0: (i32, i32) -> i32
  0x03, 0x02, 0x01, 0x00, // function 0 has type 0
  0x05, 0x04, 0x01, 0x00, 0xb1, 0x01, // a memory of 177 pages: the table and 11 MiB
  0x07, 0x09, 0x02, 0x01, 0x6d, 0x02, 0x00, 0x01, 0x66, 0x00, 0x00, // exports: memory 0 as "m", function 0 as "f"
  0x0a, 0x3d, 0x01, 0x3b, 0x01, 0x01, 0x7e, // code: one body, with one local: $hash, an i64
  0x02, 0x40, // block
  0x03, 0x40, // loop
  0x20, 0x00, 0x20, 0x01, 0x4f, 0x0d, 0x01, // $p >= $end: leave the block
  0x20, 0x02, 0x42, 0x01, 0x86, // $hash << 1
  0x20, 0x00, 0x2d, 0x00, 0x00, // byte at $p
  0x41, 0x03, 0x74, 0x29, 0x03, 0x00, // its entry of the table
  0x7c, 0x22, 0x02, // the sum is the new $hash
  0x42, 0x80, 0xe0, 0xcd, 0xba, 0xf6, 0xa2, 0x36, 0x83, // & mask
  0x50, 0x0d, 0x01, // is 0: leave the block
  0x20, 0x00, 0x41, 0x01, 0x6a, 0x21, 0x00, // $p += 1
  0x0c, 0x00, // repeat the loop
  0x0b, 0x0b, // end of loop and block
  0x20, 0x00, 0x0b, // return $p
]);

interface Exports {
  m: WebAssembly.Memory;
  f: (begin: number, end: number) => number;
}

/** Finds where chunks end. */
export class Cutter {
  readonly #find: Exports["f"];
  readonly #window: Uint8Array;

  private constructor({ m, f }: Exports, table: Uint8Array) {
    const memory = new Uint8Array(m.buffer);
    memory.set(table);
    this.#find = f;
    this.#window = memory.subarray(TABLE_BYTES, TABLE_BYTES + MAX_BYTES - MIN_BYTES);
  }

  static async create(): Promise<Cutter> {
    const { instance } = await WebAssembly.instantiate(MODULE);
    return new Cutter(instance.exports as unknown as Exports, await makeTable());
  }

  /** Return the size of the first chunk of `window`: the next 16 MiB of a file, or its rest if that is shorter. */
  findCut(window: Uint8Array): number {
    const searched = window.subarray(MIN_BYTES, MAX_BYTES);
    this.#window.set(searched);
    return Math.min(window.length, MIN_BYTES) + this.#find(TABLE_BYTES, TABLE_BYTES + searched.length) - TABLE_BYTES;
  }
}

/** Entry b is the first 8 bytes of the MD5 of 64 bytes b, as a big-endian number. */
async function makeTable(): Promise<Uint8Array> {
  const { createMD5 } = await import("hash-wasm"); // with the first large file
  const md5 = await createMD5();
  const table = new Uint8Array(TABLE_BYTES);
  for (let byte = 0; byte < 256; byte++) {
    const digest = md5.init().update(new Uint8Array(64).fill(byte)).digest("binary");
    table.set(digest.slice(0, 8).reverse(), byte * 8);
  }
  return table;
}
