// Mails of the server, which `dropbox-api dev` writes to a folder.

import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, inject } from "vitest";
import type { Account } from "./account.ts";

/** Wait for a mail to an address, and return the link in it that opens `page`. */
export async function waitForMailedLink(address: string, page: string): Promise<string> {
  const link = new RegExp(`http\\S+/${page}\\S+`);
  let found: string | undefined;
  const search = async () => {
    const mails = (await readMails()).filter((mail) => mail.includes(`To: ${address}`));
    found = mails.map((mail) => link.exec(mail)?.[0]).find(Boolean);
    return found;
  };
  await expect.poll(search, { timeout: 120_000, interval: 200 }).toBeDefined();
  return found ?? "";
}

/** Confirm the address of an account by the link in its mail. */
export async function confirmAddress(account: Account): Promise<void> {
  const link = new URL(await waitForMailedLink(account.email, "verify-email"));
  await account.call("POST", "/v1/auth/verify-email", { token: link.searchParams.get("token") });
}

async function readMails(): Promise<string[]> {
  const folder = inject("mailFolder");
  const names = (await readdir(folder)).filter((name) => name.endsWith(".eml"));
  return Promise.all(names.map(async (name) => decodeQuotedPrintable(await readFile(join(folder, name), "latin1"))));
}

function decodeQuotedPrintable(text: string): string {
  const whole = text.replace(/=\r?\n/g, "");
  return whole.replace(/=([0-9A-F]{2})/g, (_, code) => String.fromCharCode(Number.parseInt(code, 16)));
}
