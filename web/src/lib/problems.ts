// What went wrong, as a sentence that says what to do.

import { ApiProblem, ConnectionProblem, OidcProblem } from "dropbox-api-client";
import { formatBytes, formatRelative } from "./format.ts";
import { hasMessage, t, type Values } from "./i18n.ts";

/** The person has closed the dialog that confirms an action: it did not happen, and nothing needs to be said. */
export class NotConfirmed extends Error {}

/** Describe any error. */
export function describeError(error: unknown): string {
  if (error instanceof ApiProblem) return describeProblem(error);
  if (error instanceof ConnectionProblem) return t(navigator.onLine ? "error.connection" : "error.offline");
  if (error instanceof OidcProblem) {
    const key = `oidc.${error.code}`;
    return hasMessage(key) ? t(key) : t("problem.oidc-failed");
  }
  return t("error.unexpected");
}

function describeProblem(error: ApiProblem): string {
  const { problem } = error;
  const reason = "reason" in problem && typeof problem.reason === "string" ? problem.reason : "";
  const text =
    [`problem.${problem.code}.${reason}`, `problem.${problem.code}`].find(hasMessage) ??
    (error.retryable ? "error.unavailable" : "error.unexpected");
  return t(text, readValues(error));
}

/** Return what the texts of problems mention. */
function readValues({ problem, retryAfterS }: ApiProblem): Values {
  const values: Values = {
    wait: formatRelative(new Date(Date.now() + (retryAfterS ?? 60) * 1000)),
    detail: problem.detail,
  };
  for (const [name, value] of Object.entries(problem)) {
    if (typeof value === "number") values[name] = name.endsWith("_bytes") ? formatBytes(value) : value;
    else if (typeof value === "string") values[name] ??= value;
  }
  if (problem.code === "invalid-request" && "errors" in problem) {
    const [first] = problem.errors;
    if (first !== undefined) values.detail = `${first.pointer.slice(1)} ${first.detail}`;
  }
  return values;
}

/** The reason that a problem names, such as `second-factor-missing`. */
export function readReason(error: unknown): string | null {
  if (!(error instanceof ApiProblem)) return null;
  const { problem } = error;
  return "reason" in problem && typeof problem.reason === "string" ? problem.reason : null;
}
