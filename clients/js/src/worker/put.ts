// One PUT of a chunk to a signed URL, by XMLHttpRequest: fetch has no progress of uploads.

import { StoreBusy, UploadError } from "../upload/errors.ts";
import type { SignedPart } from "../upload/sessions.ts";

/**
 * What the store made of a part.
 *
 * `expired`: sign it again. `gone`: the store does not know the multipart upload. `damaged`: the store received other
 * bytes than were signed.
 */
export type PutResult = "stored" | "expired" | "gone" | "damaged";

export type Put = (
  part: SignedPart,
  chunk: Blob,
  options: { signal: AbortSignal; onProgress: (sentBytes: number) => void },
) => Promise<PutResult>;

/** The longest time without a byte in either direction. */
const IDLE_MS = 60_000;
const DAMAGED = /BadDigest|InvalidDigest|XAmzContentSHA256Mismatch|IncompleteBody/;

/** Send a chunk. Throws StoreBusy where a retry may help, UploadError where it does not, and the signal's reason. */
export const putPart: Put = (part, chunk, { signal, onProgress }) =>
  new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const request = new XMLHttpRequest();
    const end = (finish: () => void) => {
      clearTimeout(timer);
      signal.removeEventListener("abort", abort);
      finish();
    };
    const abort = () => {
      end(() => reject(signal.reason));
      request.abort();
    };
    const giveUp = () => {
      end(() => reject(new StoreBusy("The store has not answered for a minute")));
      request.abort();
    };
    let timer = setTimeout(giveUp, IDLE_MS);
    const stayAwake = () => {
      clearTimeout(timer);
      timer = setTimeout(giveUp, IDLE_MS);
    };
    signal.addEventListener("abort", abort, { once: true });
    request.upload.onprogress = ({ loaded }) => {
      stayAwake();
      onProgress(loaded);
    };
    request.onerror = () => end(() => reject(new StoreBusy("No answer from the store")));
    request.onload = () =>
      end(() => {
        try {
          resolve(readResult(part.number, request.status, request.responseText));
        } catch (error) {
          reject(error);
        }
      });
    request.open("PUT", part.url);
    for (const [name, value] of Object.entries(part.headers)) {
      // The browser sets the length itself and refuses scripts that do.
      if (name.toLowerCase() !== "content-length") request.setRequestHeader(name, value);
    }
    request.send(chunk);
  });

/** Return the meaning of an answer of the store. Throws StoreBusy or UploadError. */
export function readResult(number: number, status: number, body: string): PutResult {
  if (status === 200 || status === 204) return "stored";
  const code = /<Code>(\w+)<\/Code>/.exec(body)?.[1] ?? "no error code";
  if (status === 404) return "gone";
  if (status === 403 && code !== "SignatureDoesNotMatch") return "expired";
  if (DAMAGED.test(code)) return "damaged";
  const text = `The store answered ${status} (${code}) to part ${number}`;
  if (status === 408 || status === 429 || status >= 500 || code === "RequestTimeout") throw new StoreBusy(text);
  throw new UploadError("store-refused", text);
}
