// What an administrator does on the machine of the server.

import { execFile } from "node:child_process";
import { dirname, join, resolve } from "node:path";
import { promisify } from "node:util";
import { inject } from "vitest";
import type { Account } from "./account.ts";

const COMMAND = resolve(import.meta.dirname, "../../../.venv/bin/dropbox-api");

/** Set the space that an account may fill. */
export function setQuota({ email }: Account, bytes: number): Promise<void> {
  return runCommand("users", "quota", email, "--bytes", String(bytes));
}

export function makeAdmin({ email }: Account): Promise<void> {
  return runCommand("users", "admin", email);
}

/** Run `dropbox-api` with the settings of the server. */
async function runCommand(...words: string[]): Promise<void> {
  const settings = join(dirname(inject("mailFolder")), "env");
  await promisify(execFile)("sh", ["-c", '. "$1" && shift && "$@"', "sh", settings, COMMAND, ...words]);
}
