// What a request throws: `ApiProblem` when the server refuses it, `ConnectionProblem` when there is no answer.

import type { components } from "./schema.gen.ts";

/** A problem as the server sends it (RFC 9457). `code` decides which members it has. */
export type Problem = components["schemas"]["Problem"];

export type ProblemCode = components["schemas"]["ProblemCode"];

/** The members of a problem with this code. */
export type ProblemOf<Code extends ProblemCode> = Extract<Problem, { code: Code }>;

/** The server answered a request with a problem. */
export class ApiProblem extends Error {
  override readonly name = "ApiProblem";

  constructor(
    readonly problem: Problem,
    /** Of the answer. */
    readonly status: number,
    /** Seconds after which a repetition may succeed, as far as the server says so. */
    readonly retryAfterS: number | null,
  ) {
    super(`${problem.title}: ${problem.detail}`);
  }

  get code(): ProblemCode {
    return this.problem.code;
  }

  /** What happened and what to do. */
  get detail(): string {
    return this.problem.detail;
  }

  /** Whether the same request may succeed later. */
  get retryable(): boolean {
    return this.problem.retryable;
  }

  /** Narrow `problem` to the members of a code. */
  is<Code extends ProblemCode>(code: Code): this is ApiProblem & { problem: ProblemOf<Code> } {
    return this.problem.code === code;
  }
}

/** A request got no answer, or half of one: the network is down, the server does not run, or CORS forbids the page to read it. */
export class ConnectionProblem extends Error {
  override readonly name = "ConnectionProblem";
}

/** Whether an error is a problem with this code. Narrows `error.problem` to the members of the code. */
export function isProblem<Code extends ProblemCode>(
  error: unknown,
  code: Code,
): error is ApiProblem & { problem: ProblemOf<Code> } {
  return error instanceof ApiProblem && error.is(code);
}

/** Whether the same request may succeed later. */
export function isRetryable(error: unknown): boolean {
  return error instanceof ConnectionProblem || (error instanceof ApiProblem && error.retryable);
}

/** Read the problem of a failed answer. A proxy's page becomes the problem that its status stands for. */
export async function readProblem(answer: Response): Promise<ApiProblem> {
  const text = await answer.text().catch(() => "");
  const problem = parseProblem(text) ?? describeStatus(answer.status);
  return new ApiProblem(problem, answer.status, readRetryAfter(answer, problem));
}

function parseProblem(text: string): Problem | null {
  try {
    const value: unknown = JSON.parse(text);
    const isProblem =
      typeof value === "object" && value !== null && "code" in value && "title" in value && "detail" in value;
    return isProblem ? (value as Problem) : null;
  } catch {
    return null;
  }
}

function describeStatus(status: number): Problem {
  const base = { type: "about:blank", title: `Status ${status}`, status, detail: "The answer has no description." };
  if (status === 401) return { ...base, code: "unauthenticated", retryable: false };
  if (status === 404) return { ...base, code: "not-found", retryable: false };
  const retryable = status === 408 || status === 429 || status >= 500;
  return { ...base, code: "internal-error", retryable };
}

function readRetryAfter(answer: Response, problem: Problem): number | null {
  if ("retry_after_s" in problem && typeof problem.retry_after_s === "number") return problem.retry_after_s;
  const header = answer.headers.get("Retry-After");
  const seconds = header === null ? Number.NaN : Number(header);
  return Number.isFinite(seconds) && seconds >= 0 ? seconds : null;
}
