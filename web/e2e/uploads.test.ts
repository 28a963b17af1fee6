// Uploads from a page straight to the store, by an account and to a link.

import { randomBytes } from "node:crypto";
import type { Page } from "playwright-core";
import { expect } from "vitest";
import { Account, type RemoteFile } from "./support/account.ts";
import { type MadeFile, MIB, makeRandomFile, sha256 } from "./support/files.ts";
import { signIn, test } from "./support/test.ts";

const CHUNKS = 38; // of 8 MiB

test("upload of a small file by the page goes to the store and back", async ({ app }) => {
  const account = await Account.create();
  const content = randomBytes(50_000);
  await signIn(app, account);
  await app.setInputFiles("input", { name: "cat.jpg", mimeType: "image/jpeg", buffer: content });
  await app.evaluate(() => window.client.upload());
  const [file] = await account.list();
  expect(file).toMatchObject({ name: "cat.jpg", size_bytes: content.length, fingerprint: sha256(content) });
  const downloaded = await app.evaluate(async (id) => {
    const { url } = await window.client.call<{ url: string }>("GET", `/v1/files/${id}/download`);
    return { origin: new URL(url).origin, hash: await window.client.hash(await (await fetch(url)).blob()) };
  }, file?.id);
  expect(downloaded.hash).toBe(sha256(content));
  expect(downloaded.origin).not.toBe(new URL(app.url()).origin);
});

test("upload of 300 MiB by the page resumes after a reload half-way", async ({ app }) => {
  const account = await Account.create();
  const source = await makeRandomFile("film.mov", 300 * MIB);
  try {
    await signIn(app, account);
    const upload = () => app.evaluate(() => window.client.upload());
    await sendWithReload(app, source, upload, () => app.evaluate(() => window.client.refresh()));
    await expectOnly(account, await account.list(), source);
  } finally {
    await source.remove();
  }
});

test("upload of 300 MiB to a link resumes after a reload half-way", async ({ app }) => {
  const account = await Account.create();
  const folder = await account.createFolder("Inbox");
  const { token } = await account.createLink(folder, { mode: "upload" });
  const source = await makeRandomFile("film.mov", 300 * MIB);
  try {
    await sendWithReload(app, source, () => app.evaluate((token) => window.client.uploadByLink(token), token));
    await expectOnly(account, await account.list(folder), source);
  } finally {
    await source.remove();
  }
});

/** Choose the file and upload it; when half of it is sent, reload the page and do the same again. */
async function sendWithReload(
  app: Page,
  source: MadeFile,
  upload: () => Promise<void>,
  afterReload?: () => Promise<unknown>,
): Promise<void> {
  await app.setInputFiles("input", source.path);
  const interrupted = expect(upload()).rejects.toThrow();
  await app.waitForFunction((half) => window.client.progress.sent >= half, CHUNKS / 2);
  const sentBefore = await app.evaluate(() => window.client.progress.sent);
  await app.reload();
  await interrupted;

  await afterReload?.();
  await app.setInputFiles("input", source.path);
  await upload();
  const { found, sent } = await app.evaluate(() => window.client.progress);
  expect(found).toBeGreaterThanOrEqual(sentBefore);
  expect(found + sent).toBe(CHUNKS);
}

/** Check that the files are exactly this one, in the list and in the store. */
async function expectOnly(account: Account, files: RemoteFile[], { sizeBytes, sha256 }: MadeFile): Promise<void> {
  expect(files).toMatchObject([{ name: "film.mov", size_bytes: sizeBytes, fingerprint: sha256 }]);
  for (const file of files) expect(await account.hashDownload(file)).toBe(sha256);
}
