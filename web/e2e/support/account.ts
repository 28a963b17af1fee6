// An account that a test prepares from outside the browser: its files, links and mails.

import { createHash, randomUUID } from "node:crypto";
import { inject } from "vitest";

export const server = inject("server");

export interface RemoteFile {
  id: string;
  name: string;
  size_bytes: number;
  fingerprint: string | null;
}

export interface Link {
  id: string;
  token: string;
  url_path: string;
}

export class Account {
  readonly password = randomUUID();
  private token = { value: "", renewAt: 0 };

  private constructor(readonly email: string) {}

  /** Register a new account and sign in. */
  static async create(email = `${randomUUID()}@example.org`): Promise<Account> {
    const account = new Account(email);
    const { password } = account;
    await send("POST", "/v1/auth/register", JSON.stringify({ email, password }), {
      "Content-Type": "application/json",
    });
    await account.signIn();
    return account;
  }

  /** Return a new access token. */
  async signIn(): Promise<string> {
    const form = new URLSearchParams({ grant_type: "password", username: this.email, password: this.password });
    const begin = Date.now();
    const tokens = await send<{ access_token: string; expires_in: number }>("POST", "/v1/auth/token", form);
    this.token = { value: tokens.access_token, renewAt: begin + tokens.expires_in * 500 };
    return tokens.access_token;
  }

  async call<Answer>(method: string, path: string, body?: object): Promise<Answer> {
    return send(method, path, body && JSON.stringify(body), {
      Authorization: `Bearer ${await this.getToken()}`,
      ...(body && { "Content-Type": "application/json" }),
    });
  }

  createFolder(name: string): Promise<RemoteFile> {
    return this.call("POST", "/v1/folders", { name });
  }

  async upload(name: string, content: Uint8Array<ArrayBuffer>, folder?: RemoteFile): Promise<RemoteFile> {
    const form = new FormData();
    if (folder) form.set("parent_id", folder.id);
    form.set("file", new Blob([content]), name);
    return send("POST", "/v1/files", form, { Authorization: `Bearer ${await this.getToken()}` });
  }

  /** Replace the content of a file by a new revision. */
  async putContent(id: string, content: Uint8Array<ArrayBuffer>): Promise<RemoteFile> {
    return send("PUT", `/v1/files/${id}/content`, content, { Authorization: `Bearer ${await this.getToken()}` });
  }

  async list(folder?: RemoteFile): Promise<RemoteFile[]> {
    const query = folder ? `?parent_id=${folder.id}` : "";
    return (await this.call<{ items: RemoteFile[] }>("GET", `/v1/files${query}`)).items;
  }

  /** Return how many entries a folder has. */
  async count(folder: RemoteFile): Promise<number> {
    const query = `parent_id=${folder.id}&count=true&limit=1`;
    return (await this.call<{ total: number }>("GET", `/v1/files?${query}`)).total;
  }

  createLink(file: RemoteFile, settings: { mode: "view" | "download" | "upload"; password?: string }): Promise<Link> {
    return this.call("POST", `/v1/files/${file.id}/links`, settings);
  }

  /** Download a file and return the SHA-256 of what the store sent. */
  async hashDownload(file: RemoteFile): Promise<string> {
    const { url } = await this.call<{ url: string }>("GET", `/v1/files/${file.id}/download`);
    const answer = await fetch(url);
    const hash = createHash("sha256");
    await answer.body?.pipeTo(new WritableStream({ write: (piece) => void hash.update(piece) }));
    return hash.digest("hex");
  }

  private async getToken(): Promise<string> {
    return Date.now() < this.token.renewAt ? this.token.value : this.signIn();
  }
}

async function send<Answer>(
  method: string,
  path: string,
  body?: BodyInit,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const answer = await fetch(server + path, { method, headers, body: body ?? null });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
  return JSON.parse(text || "null");
}
