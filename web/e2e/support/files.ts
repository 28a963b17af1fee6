// Files that the tests make.

import { createHash, type Hash, randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdtemp, open, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const MIB = 1024 ** 2;

export interface MadeFile {
  path: string;
  sizeBytes: number;
  sha256: string;
  remove(): Promise<void>;
}

/** Write a file of random bytes. `sizeBytes` is a multiple of 1 MiB. */
export async function makeRandomFile(name: string, sizeBytes: number): Promise<MadeFile> {
  const folder = await mkdtemp(join(tmpdir(), "dropbox-api-e2e-files-"));
  const path = join(folder, name);
  const file = await open(path, "w");
  const hash = createHash("sha256");
  for (let written = 0; written < sizeBytes; written += MIB) {
    const piece = randomBytes(MIB);
    hash.update(piece);
    await file.write(piece);
  }
  await file.close();
  return { path, sizeBytes, sha256: hash.digest("hex"), remove: () => rm(folder, { recursive: true }) };
}

/** Write a file of zeros that takes no room on the disk. */
export async function makeSparseFile(name: string, sizeBytes: number): Promise<MadeFile> {
  const folder = await mkdtemp(join(tmpdir(), "dropbox-api-e2e-files-"));
  const path = join(folder, name);
  await writeFile(path, "");
  await truncate(path, sizeBytes);
  return { path, sizeBytes, sha256: await hashFile(path), remove: () => rm(folder, { recursive: true }) };
}

export function sha256(content: Uint8Array): string {
  return createHash("sha256").update(content).digest("hex");
}

export async function hashFile(path: string): Promise<string> {
  const hash: Hash = createHash("sha256");
  for await (const piece of createReadStream(path)) hash.update(piece);
  return hash.digest("hex");
}
