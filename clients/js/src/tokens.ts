// Where the access token of a request comes from.

import type { Transport } from "./transport.ts";

/** Gives requests their token: the access token of an account, or the pass of a link. */
export interface Auth {
  /**
   * Return the token for a request, or null to send the request without one.
   *
   * `refused` is a token that the server has refused: the answer is another token, or null.
   */
  getToken(refused?: string): Promise<string | null>;
  /** The token in the address of the link whose passes they are. */
  readonly link?: string | undefined;
  /** Whose tokens they are, where that is known: clients of one user in one browser share one stream of events. */
  readonly userId?: string | null;
  /** Call a function after each change of the user. Returns the function that ends this. */
  subscribe?(listener: () => void): () => void;
}

/** What `createClient` takes: it makes the `Auth` for a server. */
export type AuthOption<A extends Auth = Auth> = (transport: Transport) => A;

/**
 * Authenticate with a token, or with a function that gets one.
 *
 * The client calls the function at first, and again when the server refuses the token. Personal tokens belong in programs:
 * a visitor of a page can read all that the page holds.
 */
export function bearer(source: string | (() => Promise<string>)): AuthOption {
  return () => new Bearer(typeof source === "string" ? async () => source : source);
}

class Bearer implements Auth {
  #token: Promise<string> | null = null;

  constructor(private readonly source: () => Promise<string>) {}

  async getToken(refused?: string): Promise<string | null> {
    const token = await this.#get();
    if (token !== refused) return token;
    this.#token = null;
    const next = await this.#get();
    return next === refused ? null : next;
  }

  #get(): Promise<string> {
    this.#token ??= this.source().catch((error: unknown) => {
      this.#token = null;
      throw error;
    });
    return this.#token;
  }
}

/** Send requests without a token. */
export const anonymous: AuthOption = () => ({ getToken: async () => null });
