// One request, one answer: failures become errors.

import { ConnectionProblem, readProblem } from "./problems.ts";

export interface Transport {
  /** Address of the server, without a slash at its end. */
  readonly baseUrl: string;
  /** Sends a request as it is, without a token, to any server. */
  readonly fetch: (request: Request) => Promise<Response>;
}

/** Send a request. Throws `ApiProblem` for a failed answer, `ConnectionProblem` without one, and what aborted it. */
export async function send(transport: Transport, request: Request): Promise<Response> {
  let answer: Response;
  try {
    answer = await transport.fetch(request);
  } catch (error) {
    const { aborted, reason } = request.signal;
    if (aborted && reason?.name !== "TimeoutError") throw reason;
    throw new ConnectionProblem(`No answer from ${new URL(request.url).host}`, { cause: error });
  }
  if (answer.ok) return answer;
  throw await readProblem(answer);
}

/** Read the whole answer, so that one that breaks off is a `ConnectionProblem`, too. */
export async function readWhole(request: Request, answer: Response): Promise<Response> {
  try {
    const body = await answer.arrayBuffer();
    return new Response(body.byteLength ? body : null, answer);
  } catch (error) {
    if (request.signal.aborted) throw request.signal.reason;
    throw new ConnectionProblem(`Half an answer from ${new URL(request.url).host}`, { cause: error });
  }
}

/** Return a `fetch` that gives up when the whole answer takes longer. */
export function fetchWithin(ms: number, send: Transport["fetch"] = fetch): Transport["fetch"] {
  return (request) =>
    send(new Request(request, { signal: AbortSignal.any([request.signal, AbortSignal.timeout(ms)]) }));
}
