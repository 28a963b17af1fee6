// The client: the operations of openapi.yaml as typed calls.

import createFetchClient, { type MaybeOptionalInit, type ParseAsResponse } from "openapi-fetch";
import type {
  HttpMethod,
  MediaType,
  PathsWithMethod,
  RequiredKeysOf,
  ResponseObjectMap,
  SuccessResponse,
} from "openapi-typescript-helpers";
import { isProblem } from "./problems.ts";
import type { components, paths } from "./schema.gen.ts";
import { type Auth, type AuthOption, anonymous } from "./tokens.ts";
import { readWhole, send, type Transport } from "./transport.ts";

type Schemas = components["schemas"];

/** `File` of the API. */
export type RemoteFile = Schemas["File"];
/** `Event` of the API. */
export type ChangeEvent = Schemas["Event"];
export type { components, paths, Schemas };

export interface Client<A extends Auth = Auth> extends Transport {
  /** Call an operation: `const { data } = await client.api.GET("/v1/me")`. A failed call throws. */
  readonly api: Api;
  readonly auth: A;
  /** Send a request of your own to the server, such as one whose answer is a stream. A failed answer throws. */
  readonly send: (path: string, init?: RequestInit) => Promise<Response>;
}

export interface ClientOptions<A extends Auth> {
  /** Address of the server; without it, the origin of the page. */
  baseUrl?: string;
  /** `cookieSession()` or `bearer(...)`; without it, requests carry no token, as links need none. */
  auth?: AuthOption<A>;
  /** Sends the requests; without it, the browser's `fetch`. */
  fetch?: (request: Request) => Promise<Response>;
}

/** The calls of openapi-fetch, except that a failed answer throws instead of being returned. */
export type Api = {
  [Method in "GET" | "PUT" | "POST" | "PATCH" | "DELETE" | "HEAD"]: ApiCall<Lowercase<Method> & HttpMethod>;
};

type ApiCall<Method extends HttpMethod> = <
  Path extends PathsWithMethod<paths, Method>,
  Init extends MaybeOptionalInit<paths[Path], Method>,
>(
  path: Path,
  ...init: RequiredKeysOf<Init> extends never ? [Init?] : [Init]
) => Promise<{
  data: ParseAsResponse<SuccessResponse<ResponseObjectMap<paths[Path][Method] & object>, MediaType>, Init>;
  response: Response;
}>;

/** Make a client of a server. It sends nothing by itself. */
export function createClient<A extends Auth = Auth>(options: ClientOptions<A> = {}): Client<A> {
  const baseUrl = (options.baseUrl ?? globalThis.location.origin).replace(/\/+$/, "");
  const transport: Transport = { baseUrl, fetch: options.fetch ?? ((request) => fetch(request)) };
  const auth = (options.auth ?? (anonymous as AuthOption<A>))(transport);
  const sendRequest = (request: Request) => authenticate(transport, auth, request);
  const fetchWhole = async (request: Request) => readWhole(request, await sendRequest(request));
  const calls = createFetchClient<paths>({ baseUrl, fetch: fetchWhole });
  return {
    api: calls as unknown as Api,
    auth,
    ...transport,
    send: (path, init) => sendRequest(new Request(baseUrl + path, init)),
  };
}

/** Send a request with its token, and once more with a new one when the server refuses the first. */
async function authenticate(transport: Transport, auth: Auth, request: Request): Promise<Response> {
  if (!needsToken(request, transport.baseUrl, auth.link)) return send(transport, request);
  const token = await auth.getToken();
  if (token === null) return send(transport, request);
  const repetition = request.clone();
  try {
    return await send(transport, withToken(request, token, auth.link));
  } catch (error) {
    if (!isProblem(error, auth.link === undefined ? "unauthenticated" : "link-password-required")) throw error;
    const next = await auth.getToken(token);
    if (next === null) throw error;
    return send(transport, withToken(repetition, next, auth.link));
  }
}

function withToken(request: Request, token: string, link: string | undefined): Request {
  if (link === undefined) request.headers.set("Authorization", `Bearer ${token}`);
  else request.headers.set("X-Link-Pass", token);
  return request;
}

/** Whether a request is for the server, which alone may see a token, and for an operation that takes one. */
function needsToken(request: Request, baseUrl: string, link: string | undefined): boolean {
  const { origin, pathname } = new URL(request.url);
  if (origin !== new URL(baseUrl).origin) return false;
  if (link !== undefined) return `${pathname}/`.startsWith(`/v1/public/links/${link}/`);
  return !/^\/v1\/(public|auth)\//.test(pathname) || pathname === "/v1/auth/verify-email/request";
}
