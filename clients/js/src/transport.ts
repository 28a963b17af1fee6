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
