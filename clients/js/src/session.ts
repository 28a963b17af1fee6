// The session of a page of the server: its refresh token is a cookie that no script reads, its access token is in memory.
// All tabs of a browser share the session: one refreshes for all, and a sign-out ends it in all of them.

import type { Schemas } from "./api.ts";
import { ApiProblem } from "./problems.ts";
import { type Channel, getLocks, openChannel, runAlone } from "./tabs.ts";
import type { Auth, AuthOption } from "./tokens.ts";
import { send, type Transport } from "./transport.ts";

export type SessionState =
  /** No request has needed a token yet. */
  | { readonly status: "unknown" }
  | { readonly status: "signed-in"; readonly userId: string }
  /** The session has ended, or there was none. `userId` was signed in before. */
  | { readonly status: "signed-out"; readonly userId: string | null }
  /** Another tab has signed in as another user, `userId`. The page shows the files of the wrong user: reload it. */
  | { readonly status: "replaced"; readonly userId: string };

/** The page belongs to a user who is signed in no longer: another tab has signed in as another user. Reload the page. */
export class SessionReplaced extends Error {
  override readonly name = "SessionReplaced";
}

/** The identity provider did not sign the user in. `code` says why, such as `access_denied`. */
export class OidcProblem extends Error {
  override readonly name = "OidcProblem";

  constructor(readonly code: string) {
    super(`The provider answered ${code}`);
  }
}

export interface SignInOptions {
  /** Whether the browser ends the session when it closes. */
  temporary?: boolean;
}

/** What the tabs tell each other. */
type Message =
  /** A tab asks for a token other than `refused`. Each other tab answers `tokens` or `none`. */
  | { kind: "ask"; refused: string | undefined }
  | { kind: "tokens"; tokens: Tokens }
  | { kind: "none" }
  | { kind: "signed-out" };

interface PendingOidc {
  verifier: string;
  options: SignInOptions;
}

interface Tokens {
  accessToken: string;
  /** Milliseconds of `Date.now()`. */
  refreshAt: number;
  userId: string;
}

const NAME = "dropbox-api session";
/** Of what the page keeps while the browser is at the provider. */
const OIDC = "dropbox-api oidc";
/** How long a tab waits for the token of another one before it refreshes. Tabs answer at once, unless they hang. */
const ASK_MS = 1000;
/** A request that hangs keeps the other tabs waiting. */
const ANSWER_MS = 60_000;
/** Of the lifetime of an access token: when this part of it is over, the next request gets a new one. */
const USED_PART = 0.9;

/** Authenticate by the session of a page of the server's own origin. `client.auth` signs in and out. */
export function cookieSession(): AuthOption<CookieSession> {
  return (transport) => new CookieSession(transport);
}

export class CookieSession implements Auth {
  #state: SessionState = { status: "unknown" };
  #tokens: Tokens | null = null;
  #refreshing: Promise<void> | null = null;
  /** While this tab asks: called for each tab that has no token. */
  #onNone: () => unknown = () => {};
  readonly #listeners = new Set<() => void>();
  readonly #channel: Channel<Message>;
  readonly #lock: string;
  /** Each tab holds it as long as it lives: the tabs count each other by it. */
  readonly #tabLock: string;
  readonly #closing = new AbortController();

  constructor(private readonly transport: Transport) {
    const name = `${NAME} ${transport.baseUrl}`;
    this.#lock = `${name} refresh`;
    this.#channel = openChannel(name, (message) => this.#receive(message));
    this.#tabLock = `${name} tab`;
    const closed = new Promise<void>((resolve) => this.#closing.signal.addEventListener("abort", () => resolve()));
    void getLocks()?.request(this.#tabLock, { mode: "shared" }, () => closed);
  }

  get state(): SessionState {
    return this.#state;
  }

  get userId(): string | null {
    return this.#state.status === "signed-in" ? this.#state.userId : null;
  }

  /** Call a function after each change of the state. Returns the function that ends this. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Continue the session of the cookie, as a page does when it opens. Returns the state, signed in or out. */
  async restore(): Promise<SessionState> {
    if (this.#state.status === "unknown") await this.getToken();
    return this.#state;
  }

  /** Throws `second-factor-required` if the account needs a code, `otp`: of its app, or a recovery code. */
  signIn(email: string, password: string, options: SignInOptions & { otp?: string } = {}): Promise<string> {
    const form = new URLSearchParams({ grant_type: "password", username: email, password });
    if (options.otp !== undefined) form.set("otp", options.otp);
    return this.#begin("/v1/auth/token", form, options);
  }

  /** Let the browser offer its passkeys for this server, and sign in with the chosen one. */
  async signInWithPasskey(options: SignInOptions & { signal?: AbortSignal } = {}): Promise<string> {
    const answer = await this.#post("/v1/auth/passkey/options");
    const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(await answer.json());
    const wanted = options.signal ? { publicKey, signal: options.signal } : { publicKey };
    const credential = await navigator.credentials.get(wanted);
    if (!(credential instanceof PublicKeyCredential)) throw new Error("The browser gave no passkey");
    return this.#begin("/v1/auth/passkey", toJson({ credential: credential.toJSON() }), options);
  }

  /**
   * Return the address of the identity provider, to which the page sends the browser. It comes back to the path `redirect`,
   * where `finishOidc` signs in with these options.
   */
  async beginOidc(redirect: string, options: SignInOptions = {}): Promise<string> {
    const verifier = toBase64Url(crypto.getRandomValues(new Uint8Array(32)));
    const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier));
    sessionStorage.setItem(OIDC, JSON.stringify({ verifier, options } satisfies PendingOidc));
    const query = new URLSearchParams({ challenge: toBase64Url(new Uint8Array(hash)), redirect });
    return `${this.transport.baseUrl}/v1/auth/oidc/start?${query}`;
  }

  /** Sign in with the code that the provider has put into the page's address. Returns null without one. */
  async finishOidc(): Promise<string | null> {
    const fragment = new URLSearchParams(location.hash.slice(1));
    const [code, error] = [fragment.get("code"), fragment.get("error")];
    if (code === null && error === null) return null;
    history.replaceState(history.state, "", location.pathname + location.search); // out of the history
    const pending: PendingOidc | null = JSON.parse(sessionStorage.getItem(OIDC) ?? "null");
    sessionStorage.removeItem(OIDC);
    if (code === null || pending === null) throw new OidcProblem(error ?? "another-tab");
    return this.#begin("/v1/auth/oidc/token", toJson({ code, verifier: pending.verifier }), pending.options);
  }

  /** End the session in all tabs. Throws, and changes nothing, when the server cannot be reached. */
  async signOut(): Promise<void> {
    await runAlone(this.#lock, async () => {
      await this.#post("/v1/auth/logout", null, "cookie");
      this.#channel.post({ kind: "signed-out" });
      this.#end();
    });
  }

  async getToken(refused?: string): Promise<string | null> {
    if (!this.#hasToken(refused) && this.#state.status !== "signed-out") {
      this.#refreshing ??= this.#refresh(refused).finally(() => {
        this.#refreshing = null;
      });
      await this.#refreshing;
    }
    if (this.#state.status === "replaced") throw new SessionReplaced("Another tab has signed in as another user");
    return this.#hasToken(refused) ? this.#tokens!.accessToken : null;
  }

  /** Leave the session to the other tabs. */
  close(): void {
    this.#channel.close();
    this.#closing.abort();
  }

  #hasToken(refused?: string): boolean {
    const tokens = this.#tokens;
    return tokens !== null && tokens.accessToken !== refused && Date.now() < tokens.refreshAt;
  }

  /** Get a token from another tab, else from the server. Afterwards the state says whether there is one. */
  #refresh(refused?: string): Promise<void> {
    const isDone = () => this.#hasToken(refused) || ["signed-out", "replaced"].includes(this.#state.status);
    return runAlone(this.#lock, async () => {
      if (!isDone()) await this.#ask(refused, isDone);
      if (isDone()) return;
      try {
        const tokens = await this.#requestTokens("/v1/auth/refresh", null, "cookie");
        if (tokens) this.#accept(tokens);
        else this.#end();
      } catch (error) {
        if (!(error instanceof ApiProblem) || error.status !== 401) throw error;
        this.#end(); // the other tabs notice it themselves: one of them may just have signed in again
      }
    });
  }

  /** Ask the other tabs for a token, and wait until one has it or none has, at most for a moment. */
  async #ask(refused: string | undefined, isDone: () => boolean): Promise<void> {
    let missing = await this.#countOtherTabs();
    if (missing === 0) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => finish(), ASK_MS);
      const stop = this.subscribe(() => isDone() && finish());
      const finish = () => {
        clearTimeout(timer);
        stop();
        resolve();
      };
      this.#onNone = () => --missing === 0 && finish();
      this.#channel.post({ kind: "ask", refused });
    });
  }

  /** Sign in. The server ends the session of the cookie that it replaces. Returns the user's id. */
  #begin(path: string, body: BodyInit, { temporary = false }: SignInOptions): Promise<string> {
    return runAlone(this.#lock, async () => {
      const tokens = await this.#requestTokens(path, body, temporary ? "temporary-cookie" : "cookie");
      if (tokens === null) throw new Error("The server gave no tokens");
      this.#state = { status: "unknown" };
      this.#accept(tokens);
      return tokens.userId;
    });
  }

  /** Return null when the browser has no session to continue. */
  async #requestTokens(
    path: string,
    body: BodyInit | null,
    session: Schemas["CookieTransport"],
  ): Promise<Tokens | null> {
    const started = Date.now();
    const answer = await this.#post(path, body, session);
    if (answer.status === 204) return null;
    const { access_token, expires_in, user_id }: Schemas["AuthTokens"] = await answer.json();
    return { accessToken: access_token, refreshAt: started + expires_in * 1000 * USED_PART, userId: user_id };
  }

  #post(path: string, body: BodyInit | null = null, session?: Schemas["CookieTransport"]): Promise<Response> {
    const headers = new Headers(session ? { "X-Session": session } : {});
    const options = { method: "POST", headers, body, signal: AbortSignal.timeout(ANSWER_MS) };
    return send(this.transport, new Request(this.transport.baseUrl + path, options));
  }

  /** Use tokens that the server gave to this tab, and give them to the others. */
  #accept(tokens: Tokens): void {
    this.#adopt(tokens);
    this.#channel.post({ kind: "tokens", tokens });
  }

  /** Use tokens, unless they are another user's. */
  #adopt(tokens: Tokens): void {
    const known = "userId" in this.#state ? this.#state.userId : null;
    if (this.#state.status === "replaced" || (known !== null && known !== tokens.userId)) {
      this.#tokens = null;
      this.#change({ status: "replaced", userId: tokens.userId });
    } else {
      this.#tokens = tokens;
      this.#change({ status: "signed-in", userId: tokens.userId });
    }
  }

  #end(): void {
    this.#tokens = null;
    if (this.#state.status === "replaced") return;
    this.#change({ status: "signed-out", userId: this.#state.status === "unknown" ? null : this.#state.userId });
  }

  #change(state: SessionState): void {
    this.#state = state;
    for (const listener of [...this.#listeners]) listener();
  }

  #receive(message: Message): void {
    if (message.kind === "tokens") this.#adopt(message.tokens);
    else if (message.kind === "signed-out") this.#end();
    else if (message.kind === "none") this.#onNone();
    else if (this.#hasToken(message.refused)) this.#channel.post({ kind: "tokens", tokens: this.#tokens! });
    else this.#channel.post({ kind: "none" });
  }

  async #countOtherTabs(): Promise<number> {
    const held = (await getLocks()?.query())?.held ?? [];
    return Math.max(0, held.filter(({ name }) => name === this.#tabLock).length - 1);
  }
}

function toJson(value: object): Blob {
  return new Blob([JSON.stringify(value)], { type: "application/json" });
}

function toBase64Url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");
}
