// Content-defined chunks against the vectors that Python shares.

import { createSHA256 } from "hash-wasm";
import { expect, test } from "vitest";
import vectors from "../../../../tests/vectors/cdc1.json" with { type: "json" };
import { Cutter, MAX_BYTES } from "../../src/worker/cdc.ts";

test("contents are cut as the shared vectors say", async () => {
  const size = Math.max(...vectors.cuts.map(({ size_bytes }) => size_bytes));
  const contents: Record<string, Uint8Array> = { hashes: await makeHashes(size), zeros: new Uint8Array(size) };
  const cutter = await Cutter.create();
  for (const { content, size_bytes, chunks } of vectors.cuts) {
    const bytes = (contents[content] as Uint8Array).subarray(0, size_bytes);
    const cuts: number[] = [];
    for (let begin = 0; begin < bytes.length; begin += cuts.at(-1) as number) {
      cuts.push(cutter.findCut(bytes.subarray(begin, begin + MAX_BYTES)));
    }
    expect(cuts, `${size_bytes} bytes of ${content}`).toEqual(chunks);
  }
});

/** Return the SHA-256 of 0, 1, 2, ... as 8 bytes, one after the other. */
async function makeHashes(sizeBytes: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(sizeBytes);
  const sha256 = await createSHA256();
  const number = new DataView(new ArrayBuffer(8));
  for (let begin = 0; begin < sizeBytes; begin += 32) {
    number.setUint32(4, begin / 32);
    bytes.set(sha256.init().update(new Uint8Array(number.buffer)).digest("binary"), begin);
  }
  return bytes;
}
