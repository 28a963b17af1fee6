// Reading the body of an answer piece by piece.

import { ConnectionProblem } from "./problems.ts";

/**
 * Read the pieces of a body as they arrive.
 *
 * Throws `ConnectionProblem` when the connection is cut, or nothing arrives for `silenceMs` while a piece is awaited.
 */
export async function* readPieces(
  answer: Response,
  silenceMs: number,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  if (answer.body === null) return;
  const reader = answer.body.getReader();
  try {
    for (;;) {
      const { done, value } = await limitSilence(reader.read(), silenceMs);
      if (done) return;
      yield value;
    }
  } catch (error) {
    throw signal?.aborted ? signal.reason : new ConnectionProblem("The connection was cut", { cause: error });
  } finally {
    await reader.cancel().catch(() => {}); // a cut connection has nothing to cancel
  }
}

function limitSilence<Result>(result: Promise<Result>, ms: number): Promise<Result> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`Nothing arrived for ${ms / 1000} s`)), ms);
    result.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
