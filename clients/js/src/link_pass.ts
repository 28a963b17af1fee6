// Links with a password: it is sent once, for a pass, and requests carry the pass.

import { isProblem } from "./problems.ts";
import type { components } from "./schema.gen.ts";
import type { Auth, AuthOption } from "./tokens.ts";
import { send, type Transport } from "./transport.ts";

export type Pass = components["schemas"]["LinkPass"];

const RENEWAL_PAUSE_MS = 60_000;

export interface LinkPassOptions {
  /** A pass that the page has already. */
  pass?: Pass | null;
  /** Return the password: called without a pass, and after the server has refused the pass or the `refused` password. */
  getPassword: (refused: string | null) => Promise<string>;
}

/** Open a link with a password. Only requests for this link carry the pass. */
export function linkPass(link: string, options: LinkPassOptions): AuthOption {
  return (transport) => new LinkPass(transport, link, options);
}

class LinkPass implements Auth {
  #pass: Pass | null = null;
  #renewAt = 0;
  #change: Promise<string> | null = null;

  constructor(
    private readonly transport: Transport,
    readonly link: string,
    private readonly options: LinkPassOptions,
  ) {
    if (options.pass) this.#keep(options.pass);
  }

  async getToken(refused?: string): Promise<string> {
    const pass = this.#pass?.link_pass;
    if (pass !== undefined && pass !== refused && Date.now() < this.#renewAt) return pass;
    this.#change ??= this.#replace(refused).finally(() => {
      this.#change = null;
    });
    return this.#change;
  }

  async #replace(refused?: string): Promise<string> {
    const pass = this.#pass?.link_pass;
    if (pass === undefined || pass === refused) return this.#exchange();
    return this.#request({}, { "X-Link-Pass": pass }).catch(() => {
      this.#renewAt = Date.now() + RENEWAL_PAUSE_MS; // until the server refuses it, the old pass works
      return pass;
    });
  }

  async #exchange(): Promise<string> {
    for (let refused: string | null = null; ; ) {
      const password = await this.options.getPassword(refused);
      try {
        return await this.#request({ password });
      } catch (error) {
        if (!isProblem(error, "link-password-required") || password === refused) throw error;
        refused = password;
      }
    }
  }

  async #request(body: { password?: string }, headers: Record<string, string> = {}): Promise<string> {
    const request = new Request(`${this.transport.baseUrl}/v1/public/links/${this.link}/pass`, {
      method: "POST",
      headers: { "Content-Type": "application/json", ...headers },
      body: JSON.stringify(body),
    });
    return this.#keep((await (await send(this.transport, request)).json()) as Pass);
  }

  #keep(pass: Pass): string {
    this.#pass = pass;
    this.#renewAt = (Date.now() + Date.parse(pass.expires_at)) / 2;
    return pass.link_pass;
  }
}
