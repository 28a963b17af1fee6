// What an administrator does on the machine of the server.

import { execFile } from "node:child_process";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { inject } from "vitest";
import type { Account } from "./account.ts";

const COMMAND = resolve(import.meta.dirname, "../../../.venv/bin/dropbox-api");

const FOLDER = join(inject("mailFolder"), "..");

/** Set the space that an account may fill. */
export function setQuota({ email }: Account, bytes: number): Promise<void> {
  return runCommand(`users quota ${email} --bytes ${bytes}`);
}

export function makeAdmin({ email }: Account): Promise<void> {
  return runCommand(`users admin ${email}`);
}

/** Run `dropbox-api` with the settings of the server that keeps its data in `folder`. */
export async function runCommand(words: string, folder = FOLDER): Promise<void> {
  await promisify(execFile)("sh", ["-c", `. "$1" && "$2" ${words}`, "sh", join(folder, "env"), COMMAND]);
}
