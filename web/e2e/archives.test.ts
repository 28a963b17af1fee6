// Archives of a selection, saved by the browser itself.

import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { expect } from "vitest";
import { Account } from "./support/account.ts";
import { sha256 } from "./support/files.ts";
import { signIn, test } from "./support/test.ts";

const PYTHON = resolve(import.meta.dirname, "../../.venv/bin/python");

test("zip of a selection is saved by a link in the page", async ({ app }) => {
  const account = await Account.create();
  const folder = await account.createFolder("Trip");
  const contents = { "a.bin": randomBytes(3_000_000), "Trip/ä.txt": randomBytes(10), "Trip/empty": Buffer.alloc(0) };
  const selected = [await account.upload("a.bin", contents["a.bin"]), folder];
  await account.upload("ä.txt", contents["Trip/ä.txt"], folder);
  await account.upload("empty", contents["Trip/empty"], folder);
  await account.upload("other.bin", randomBytes(10));
  await signIn(app, account);

  const download = app.waitForEvent("download");
  await app.evaluate(
    async (ids) => {
      const { url } = await window.client.call<{ url: string }>("POST", "/v1/archives", { ids });
      Object.assign(document.createElement("a"), { href: url }).click();
    },
    selected.map(({ id }) => id),
  );
  const saved = await download;
  expect(saved.suggestedFilename()).toMatch(/\.zip$/);
  expect(await readZip(await saved.path())).toEqual(hashAll(contents));
});

function hashAll(contents: Record<string, Buffer>): Record<string, string> {
  return Object.fromEntries(Object.entries(contents).map(([name, content]) => [name, sha256(content)]));
}

/** Return the SHA-256 of each file in a zip, by name, as Python unpacks it. */
async function readZip(path: string): Promise<Record<string, string>> {
  const folder = await mkdtemp(join(tmpdir(), "dropbox-api-e2e-zip-"));
  try {
    await promisify(execFile)(PYTHON, ["-m", "zipfile", "--extract", path, folder]);
    const entries = await readdir(folder, { recursive: true, withFileTypes: true });
    const names = entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name));
    const hashes = names.map(async (name) => [name.slice(folder.length + 1), sha256(await readFile(name))]);
    return Object.fromEntries(await Promise.all(hashes));
  } finally {
    await rm(folder, { recursive: true });
  }
}
