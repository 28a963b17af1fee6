// Changes of many files and folders: batches of 500, with progress, a way to stop, and what failed.

import { ApiProblem, isRetryable, type RemoteFile, type Schemas } from "dropbox-api-client";
import { client } from "../lib/client.ts";

export type Operation = Schemas["RunBatch"]["operations"][number];

/** A change, and the file that it is about. */
export interface Change {
  file: Pick<RemoteFile, "id" | "name">;
  operation: Operation;
}

export interface Done extends Change {
  /** The file afterwards; null for one in the trash. */
  result: RemoteFile | null;
}

export interface Refused extends Change {
  problem: unknown;
}

export interface Outcome {
  done: Done[];
  refused: Refused[];
}

interface Options {
  signal?: AbortSignal;
  onProgress?: (count: number) => void;
}

const AT_ONCE = 500;
const ATTEMPTS = 3;

/** Run changes in order. Stops at the signal; what was done until then stays. */
export async function runChanges(changes: readonly Change[], { signal, onProgress }: Options = {}): Promise<Outcome> {
  const outcome: Outcome = { done: [], refused: [] };
  for (let begin = 0; begin < changes.length && !signal?.aborted; begin += AT_ONCE) {
    const some = changes.slice(begin, begin + AT_ONCE);
    try {
      const { items } = await send(some.map(({ operation }) => operation));
      for (const [index, change] of some.entries()) {
        const item = items[index];
        if (item?.problem)
          outcome.refused.push({ ...change, problem: new ApiProblem(item.problem, item.status, null) });
        else outcome.done.push({ ...change, result: item?.file ?? null });
      }
    } catch (error) {
      outcome.refused.push(...changes.slice(begin).map((change) => ({ ...change, problem: error })));
      break;
    }
    onProgress?.(Math.min(begin + AT_ONCE, changes.length));
  }
  return outcome;
}

/** Send a batch, again with the same key where the answer was lost: the server runs it once. */
async function send(operations: Operation[]): Promise<Schemas["BatchResults"]> {
  const header = { "Idempotency-Key": makeKey() };
  for (let attempt = 1; ; attempt++) {
    try {
      return (await client.api.POST("/v1/files/batch", { params: { header }, body: { operations } })).data;
    } catch (error) {
      if (attempt === ATTEMPTS || !isRetryable(error)) throw error;
      await new Promise((resolve) => setTimeout(resolve, 500 * attempt));
    }
  }
}

/** `crypto.randomUUID` needs https. */
function makeKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
