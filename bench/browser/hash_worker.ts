import { Chunks, fixed } from "../../clients/js/src/upload/chunks.ts";
import { FileHasher } from "../../clients/js/src/worker/hash.ts";

const CHUNK_BYTES = 8 * 1024 ** 2;

self.onmessage = async ({ data: { file, hasFingerprint } }: MessageEvent<{ file: File; hasFingerprint: boolean }>) => {
  const chunks = new Chunks(file.size, fixed(CHUNK_BYTES));
  const wanted = Array.from({ length: chunks.count }, (_, index) => index + 1);
  const fingerprint = hasFingerprint ? "known" : null;
  await new FileHasher({ file, chunks, fingerprint, wanted, signal: new AbortController().signal }).done;
  self.postMessage("done");
};
