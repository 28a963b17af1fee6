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
  readonly email = `${randomUUID()}@example.org`;
  readonly password = randomUUID();
  private token = "";

  /** Register a new account and sign in. */
  static async create(): Promise<Account> {
    const account = new Account();
    const { email, password } = account;
    await send("POST", "/v1/auth/register", JSON.stringify({ email, password }), {
      "Content-Type": "application/json",
    });
    const form = new URLSearchParams({ grant_type: "password", username: email, password });
    account.token = (await send<{ access_token: string }>("POST", "/v1/auth/token", form)).access_token;
    return account;
  }

  call<Answer>(method: string, path: string, body?: object): Promise<Answer> {
    return send(method, path, body && JSON.stringify(body), {
      Authorization: `Bearer ${this.token}`,
      ...(body && { "Content-Type": "application/json" }),
    });
  }

  createFolder(name: string): Promise<RemoteFile> {
    return this.call("POST", "/v1/folders", { name });
  }

  upload(name: string, content: Uint8Array<ArrayBuffer>, folder?: RemoteFile): Promise<RemoteFile> {
    const form = new FormData();
    if (folder) form.set("parent_id", folder.id);
    form.set("file", new Blob([content]), name);
    return send("POST", "/v1/files", form, { Authorization: `Bearer ${this.token}` });
  }

  async list(folder?: RemoteFile): Promise<RemoteFile[]> {
    const query = folder ? `?parent_id=${folder.id}` : "";
    return (await this.call<{ items: RemoteFile[] }>("GET", `/v1/files${query}`)).items;
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
