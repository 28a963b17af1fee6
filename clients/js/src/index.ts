// What the package exports.

export {
  type Api,
  type ChangeEvent,
  type Client,
  type ClientOptions,
  type components,
  createClient,
  type paths,
  type RemoteFile,
  type Schemas,
} from "./api.ts";
export {
  type Content,
  ContentChanged,
  createArchiveUrl,
  type DownloadSource,
  type DownloadUrl,
  openContent,
  type ReadOptions,
  signDownload,
} from "./downloads.ts";
export { type Change, type WatchOptions, watchEvents } from "./events.ts";
export { type LinkPassOptions, linkPass, type Pass } from "./link_pass.ts";
export {
  ApiProblem,
  ConnectionProblem,
  isProblem,
  isRetryable,
  type Problem,
  type ProblemCode,
  type ProblemOf,
} from "./problems.ts";
export {
  type CookieSession,
  cookieSession,
  OidcProblem,
  SessionReplaced,
  type SessionState,
  type SignInOptions,
} from "./session.ts";
export { type Auth, type AuthOption, bearer } from "./tokens.ts";
