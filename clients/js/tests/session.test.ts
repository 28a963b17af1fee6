// The session of a browser's tabs. Each client of one server is a tab: they share the locks and channels of this process.

import { afterEach, expect, test, vi } from "vitest";
import {
  type Client,
  ConnectionProblem,
  type CookieSession,
  cookieSession,
  createClient,
  SessionReplaced,
} from "../src/index.ts";
import { eventually } from "./support/eventually.ts";
import { FakeServer, problem, type ReceivedRequest } from "./support/fake_server.ts";

const REFRESH = "/v1/auth/refresh";
const tabs: Client<CookieSession>[] = [];

afterEach(() => {
  for (const { auth } of tabs.splice(0)) auth.close();
  vi.unstubAllGlobals();
});

/** A server with one session, whose access tokens are numbered. */
class SessionServer extends FakeServer {
  userId: string | null = "ada";
  hasCookie = true;
  /** Only the newest token works. */
  newest = 0;
  lifetimeS = 900;

  constructor() {
    super((request) => this.#answer(request));
  }

  openTab(): Client<CookieSession> {
    const tab = createClient({ ...this.options, auth: cookieSession() });
    tabs.push(tab);
    return tab;
  }

  #answer({ path, token, headers, body }: ReceivedRequest): Response {
    if (!path.startsWith("/v1/auth/")) {
      const isCurrent = token === `token ${this.newest}` && this.userId !== null;
      return isCurrent ? Response.json({ id: this.userId }) : problem(401, "unauthenticated");
    }
    if (!headers.get("X-Session")?.endsWith("cookie")) return problem(403, "forbidden");
    if (path === "/v1/auth/logout") {
      this.userId = null;
      return new Response(null, { status: 204 });
    }
    if (path === "/v1/auth/token") this.userId = new URLSearchParams(body).get("username");
    if (path === REFRESH && !this.hasCookie) return new Response(null, { status: 204 });
    if (this.userId === null) return problem(401, "invalid-refresh-token");
    const members = { access_token: `token ${++this.newest}`, expires_in: this.lifetimeS, user_id: this.userId };
    return Response.json({ ...members, refresh_token: null, token_type: "bearer" });
  }

  countRefreshes(): number {
    return this.requests.filter(({ path }) => path === REFRESH).length;
  }
}

const me = async (tab: Client) => (await tab.api.GET("/v1/me")).data.id;

test("browser without a session is signed out, without an error", async () => {
  const server = new SessionServer();
  server.userId = null;
  server.hasCookie = false;
  const tab = server.openTab();
  expect(await tab.auth.restore()).toEqual({ status: "signed-out", userId: null });
});

test("requests of several tabs share one refresh, at first and after the server refuses the token", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout"] }); // a busy machine ends no wait for another tab
  const server = new SessionServer();
  const [first, second] = [server.openTab(), server.openTab()];
  // The tabs open one after the other: at first there is no token to ask for.
  expect(await first.auth.restore()).toEqual({ status: "signed-in", userId: "ada" });
  expect(await Promise.all([me(second), me(first), me(second)])).toEqual(["ada", "ada", "ada"]);
  expect(server.countRefreshes()).toBe(1);
  server.newest = 7; // the server has forgotten the token
  vi.useRealTimers();
  expect(await Promise.all([me(first), me(second), me(first)])).toEqual(["ada", "ada", "ada"]);
  expect(server.countRefreshes()).toBe(2);
});

test("token at the end of its life is renewed before a request fails", async () => {
  const server = new SessionServer();
  server.lifetimeS = 0;
  const tab = server.openTab();
  await tab.auth.restore();
  server.lifetimeS = 900;
  await me(tab);
  await me(tab);
  expect(server.takePaths()).toEqual([REFRESH, REFRESH, "/v1/me", "/v1/me"]);
});

test("sign-out ends the session in all tabs without further requests", async () => {
  const server = new SessionServer();
  const [first, second] = [server.openTab(), server.openTab()];
  await first.auth.signIn("ada", "secret");
  await eventually(() => expect(second.auth.state).toEqual({ status: "signed-in", userId: "ada" }));
  const told = vi.fn();
  second.auth.subscribe(told);
  await first.auth.signOut();
  await eventually(() => expect(second.auth.state).toEqual({ status: "signed-out", userId: "ada" }));
  expect(told).toHaveBeenCalled();
  server.takePaths();
  await expect(me(second)).rejects.toMatchObject({ code: "unauthenticated" });
  expect(server.takePaths()).toEqual(["/v1/me"]);
});

test("sign-out without an answer leaves the session as it is", async () => {
  const server = new SessionServer();
  const tab = server.openTab();
  await tab.auth.restore();
  server.options.fetch = () => Promise.reject(new TypeError("offline"));
  const offline = createClient({ ...server.options, auth: cookieSession() });
  tabs.push(offline);
  await expect(offline.auth.signOut()).rejects.toThrow("No answer");
  expect(tab.auth.state.status).toBe("signed-in");
});

test("sign-in of another user in one tab replaces the session of the others", async () => {
  const server = new SessionServer();
  const [first, second] = [server.openTab(), server.openTab()];
  await first.auth.signIn("ada", "secret");
  await eventually(() => expect(second.auth.state.status).toBe("signed-in"));
  await second.auth.signIn("bob", "secret", { temporary: true, otp: "123456" });
  expect(server.requests.at(-1)).toMatchObject({ body: expect.stringContaining("otp=123456") });
  expect(server.requests.at(-1)?.headers.get("X-Session")).toBe("temporary-cookie");
  await eventually(() => expect(first.auth.state).toEqual({ status: "replaced", userId: "bob" }));
  await expect(me(first)).rejects.toBeInstanceOf(SessionReplaced);
  expect(await me(second)).toBe("bob");
  expect(await first.auth.signIn("bob", "secret")).toBe("bob");
  expect(await me(first)).toBe("bob");
});

test("refresh that answers another user replaces the session of the tab", async () => {
  const server = new SessionServer();
  const tab = server.openTab();
  await tab.auth.restore();
  server.userId = "bob"; // the cookie changed, and no message said so
  server.newest = 7;
  await expect(me(tab)).rejects.toBeInstanceOf(SessionReplaced);
});

test("tabs without locks refresh each for itself, once", async () => {
  vi.stubGlobal("navigator", {}); // as over http on a local network
  const server = new SessionServer();
  const tab = server.openTab();
  expect(await Promise.all([me(tab), me(tab), me(tab)])).toEqual(["ada", "ada", "ada"]);
  server.userId = null;
  server.newest = 7;
  await expect(me(tab)).rejects.toMatchObject({ code: "unauthenticated" });
  expect(server.countRefreshes()).toBe(2);
});

test("lost connection while refreshing is told and leaves the session as it is", async () => {
  const server = new SessionServer();
  const fetch = server.options.fetch;
  server.options.fetch = () => Promise.reject(new TypeError("offline"));
  const tab = createClient({
    ...server.options,
    auth: cookieSession(),
    fetch: (request) => server.options.fetch(request),
  });
  tabs.push(tab);
  await expect(me(tab)).rejects.toThrow("No answer");
  server.options.fetch = fetch;
  expect(await me(tab)).toBe("ada");
});

test("refresh without an answer ends after a time limit, and lets the other tabs try", async () => {
  const limit = vi.spyOn(AbortSignal, "timeout").mockReturnValueOnce(AbortSignal.timeout(10));
  const server = new SessionServer();
  const hanging = (request: Request) =>
    new Promise<Response>((_, reject) => {
      request.signal.addEventListener("abort", () => reject(request.signal.reason));
    });
  const first = createClient({ ...server.options, auth: cookieSession(), fetch: hanging });
  tabs.push(first);
  const refresh = me(first);
  const second = me(server.openTab());
  await expect(refresh).rejects.toBeInstanceOf(ConnectionProblem);
  expect(await second).toBe("ada");
  limit.mockRestore();
});

test("code of a provider is exchanged with the verifier of this tab, and leaves the address", async () => {
  const stored = new Map<string, string>();
  const storage = {
    getItem: (key: string) => stored.get(key) ?? null,
    removeItem: (key: string) => stored.delete(key),
  };
  vi.stubGlobal("sessionStorage", { ...storage, setItem: (key: string, value: string) => stored.set(key, value) });
  const page = { hash: "", pathname: "/files", search: "?a=1" };
  vi.stubGlobal("location", page);
  const replaceState = vi.fn();
  vi.stubGlobal("history", { state: 1, replaceState });
  const server = new SessionServer();
  const { auth } = server.openTab();
  // The example of RFC 7636, appendix B.
  const verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
  const challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
  const random = atob(verifier.replaceAll("-", "+").replaceAll("_", "/"));
  vi.spyOn(crypto, "getRandomValues").mockReturnValueOnce(Uint8Array.from(random, (byte) => byte.charCodeAt(0)));

  expect(await auth.finishOidc()).toBeNull();
  const url = new URL(await auth.beginOidc("/files", { temporary: true }));
  expect(url.pathname + url.search).toBe(`/v1/auth/oidc/start?challenge=${challenge}&redirect=%2Ffiles`);
  page.hash = "#code=abc";
  expect(await auth.finishOidc()).toBe("ada");
  expect(JSON.parse(server.requests.at(-1)?.body ?? "")).toEqual({ code: "abc", verifier });
  expect(server.requests.at(-1)?.headers.get("X-Session")).toBe("temporary-cookie");
  expect(replaceState).toHaveBeenCalledExactlyOnceWith(1, "", "/files?a=1");
  await expect(auth.finishOidc()).rejects.toThrow("another-tab"); // the verifier is used up
  page.hash = "#error=access_denied";
  await expect(auth.finishOidc()).rejects.toMatchObject({ code: "access_denied" });
});
