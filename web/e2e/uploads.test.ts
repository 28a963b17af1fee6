// Uploads of an account from a page, straight to the store.

import { randomBytes } from "node:crypto";
import { expect } from "vitest";
import { Account } from "./support/account.ts";
import { makeRandomFile, MIB, sha256 } from "./support/files.ts";
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
    await app.setInputFiles("input", source.path);
    await app.evaluate(() => void window.client.upload());
    const half = await app.waitForFunction((half) => window.client.progress.sent >= half, CHUNKS / 2);
    await half.dispose();
    const before = await app.evaluate(() => window.client.progress.sent);
    await app.reload();

    await app.evaluate(() => window.client.refresh());
    await app.setInputFiles("input", source.path);
    await app.evaluate(() => window.client.upload());
    const { found, sent } = await app.evaluate(() => window.client.progress);
    expect(found).toBeGreaterThanOrEqual(before);
    expect(found + sent).toBe(CHUNKS);
    const [file] = await account.list();
    expect(file).toMatchObject({ name: "film.mov", size_bytes: 300 * MIB, fingerprint: source.sha256 });
    expect(await account.hashDownload(file!)).toBe(source.sha256);
  } finally {
    await source.remove();
  }
});
