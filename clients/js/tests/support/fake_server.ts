// A server for tests without a network: a function from requests to answers.

import type { ProblemCode } from "../../src/index.ts";

export interface ReceivedRequest {
  method: string;
  /** With the query. */
  path: string;
  headers: Headers;
  /** Of `Authorization: Bearer`, else null. */
  token: string | null;
  body: string;
}

export class FakeServer {
  readonly requests: ReceivedRequest[] = [];
  /** What `createClient` takes. A new host for each server, so that its tabs share nothing with other tests. */
  readonly options = {
    baseUrl: `https://${crypto.randomUUID()}.example`,
    fetch: (request: Request) => this.#receive(request),
  };

  constructor(
    private readonly answer: (request: ReceivedRequest, signal: AbortSignal) => Response | Promise<Response>,
  ) {}

  /** Return the paths of the requests so far, and forget them. */
  takePaths(): string[] {
    return this.requests.splice(0).map(({ path }) => path);
  }

  async #receive(request: Request): Promise<Response> {
    request.signal.throwIfAborted();
    const { pathname, search } = new URL(request.url);
    const token = /^Bearer (.*)$/.exec(request.headers.get("Authorization") ?? "")?.[1] ?? null;
    const body = await request.text();
    const received = { method: request.method, path: pathname + search, headers: request.headers, token, body };
    this.requests.push(received);
    return this.answer(received, request.signal);
  }
}

/** Return the answer with a problem. */
export function problem(status: number, code: ProblemCode, members: object = {}): Response {
  const body = {
    type: `urn:problem:${code}`,
    title: code,
    status,
    detail: "What to do.",
    retryable: status >= 500,
    code,
  };
  return Response.json({ ...body, ...members }, { status, headers: { "Content-Type": "application/problem+json" } });
}
