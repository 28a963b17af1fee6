// The engine against the real stack, from a page of another origin.

import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, expect } from "vitest";
import { Account, server } from "../../../web/e2e/support/account.ts";
import { hashFile, MIB, makeRandomFile } from "../../../web/e2e/support/files.ts";
import { collectErrors, test } from "../../../web/e2e/support/test.ts";
import { openSite, type Site } from "./support/site.ts";
import {
  addFiles,
  addPrivateFile,
  countDefined,
  createToken,
  dropPath,
  expectEachPartOnce,
  openUploader,
  pauseWhileSending,
  readItems,
  waitForShare,
  waitForStatus,
  watchWire,
  writePrivateFile,
} from "./support/uploader.ts";

let site: Site;

beforeAll(async () => {
  site = await openSite();
});
afterAll(() => site.close());

test("example page sends a file through an upload link of another origin", async ({ page }) => {
  const account = await Account.create();
  const folder = await account.createFolder("Inbox");
  const link = await account.createLink(folder, { mode: "upload" });
  const source = await makeRandomFile("film.mov", 20 * MIB);
  const wire = watchWire(page);
  try {
    await page.goto(`${site.origin}/examples/upload.html#${server}/s/${link.token}`);
    await page.setInputFiles("input", source.path);
    await page.getByText("film.mov: done, 100 %").waitFor();
    expect(await account.list(folder)).toMatchObject([{ name: "film.mov", fingerprint: source.sha256 }]);
    expect(wire.errors).toEqual([]);
  } finally {
    await source.remove();
  }
});

test("example page of the development server sends a file through an upload link", async ({ page }) => {
  const account = await Account.create();
  const folder = await account.createFolder("Inbox");
  const link = await account.createLink(folder, { mode: "upload" });
  const wire = watchWire(page);
  await page.goto(`${server}/examples/upload#${server}/s/${link.token}`);
  await page.setInputFiles("input", { name: "a.txt", mimeType: "text/plain", buffer: Buffer.from("a") });
  await page.getByText("a.txt: done, 100 %").waitFor();
  expect(await account.list(folder)).toMatchObject([{ name: "a.txt", size_bytes: 1 }]);
  expect(wire.errors).toEqual([]);
});

test("upload of 200 MiB with an upload token reloaded half-way and picked again sends no part twice", async ({
  page,
}) => {
  const account = await Account.create();
  const folder = await account.createFolder("Inbox");
  const wanted = { parent_id: folder.id, max_bytes: 300 * MIB, expires_in_s: 3600 };
  const { token: link } = await account.call<{ token: string }>("POST", "/v1/upload-tokens", wanted);
  const source = await makeRandomFile("film.mov", 200 * MIB);
  const wire = watchWire(page);
  try {
    await openUploader(page, site, { link });
    await addFiles(page, [source.path]);
    await waitForShare(page, 0.5);
    await openUploader(page, site, { link });
    await waitForStatus(page, "needs-file");
    await addFiles(page, [source.path]);
    await waitForStatus(page, "done");
    const [file] = await account.list(folder);
    expect(file).toMatchObject({ name: "film.mov", fingerprint: source.sha256 });
    if (file) expect(await account.hashDownload(file)).toBe(source.sha256);
    expectEachPartOnce(wire, 25);
  } finally {
    await source.remove();
  }
});

test("upload of 48 MiB left half-way continues by its handle without a click", async ({ page }) => {
  const account = await Account.create();
  const token = await createToken(account);
  const wire = watchWire(page);
  await openUploader(page, site, { token });
  const paused = pauseWhileSending(page); // so that it is not over before the page is left
  await addPrivateFile(page, "film.mov", 48 * MIB);
  await paused;
  await openUploader(page, site, { token });
  await waitForStatus(page, "done");
  expect(await account.list()).toMatchObject([{ name: "film.mov", size_bytes: 48 * MIB }]);
  expectEachPartOnce(wire, ...countDefined(48));
  await openUploader(page, site, { token });
  expect(await readItems(page)).toEqual([]);
});

test("upload that is resumed without a network waits, and goes on when it is back", async ({ page, context }) => {
  const account = await Account.create();
  const source = await makeRandomFile("film.mov", 48 * MIB);
  try {
    await openUploader(page, site, { token: await createToken(account) });
    const paused = pauseWhileSending(page);
    await addFiles(page, [source.path]);
    await paused;
    await waitForStatus(page, "paused");
    await context.setOffline(true);
    await page.evaluate(() => window.uploader.resumeAll());
    await waitForStatus(page, "waiting");
    await context.setOffline(false);
    await waitForStatus(page, "done");
    expect(await account.list()).toMatchObject([{ fingerprint: source.sha256 }]);
  } finally {
    await source.remove();
  }
});

test("file with a byte inserted at its start sends two parts at most, and is the same in the store", async ({
  page,
}) => {
  const account = await Account.create();
  const source = await makeRandomFile("film.mov", 32 * MIB);
  const wire = watchWire(page);
  try {
    await openUploader(page, site, { token: await createToken(account) });
    await addFiles(page, [source.path]);
    await waitForStatus(page, "done");
    const before = wire.stored.length;
    const edited = join(dirname(source.path), "edited.mov");
    await writeFile(edited, Buffer.concat([Buffer.from("x"), await readFile(source.path)]));
    await addFiles(page, [edited]);
    await page.waitForFunction(() => window.uploader.getSnapshot().items[1]?.status === "done");
    expect(wire.stored.length - before).toBeLessThanOrEqual(2);
    const file = (await account.list()).find(({ name }) => name === "edited.mov");
    expect(file?.fingerprint).toBe(await hashFile(edited));
    if (file) expect(await account.hashDownload(file)).toBe(file.fingerprint);
    expect(wire.apiBytes).toBeLessThan(50_000);
    expect(wire.errors).toEqual([]);
  } finally {
    await source.remove();
  }
});

test("upload of one file in two tabs sends each part once and ends in both", async ({ page, context }) => {
  const account = await Account.create();
  const token = await createToken(account);
  const source = await makeRandomFile("film.mov", 24 * MIB);
  const other = await context.newPage();
  const errors = collectErrors(other);
  const [wire, otherWire] = [watchWire(page), watchWire(other)];
  try {
    for (const tab of [page, other]) await openUploader(tab, site, { token });
    await Promise.all([addFiles(page, [source.path]), addFiles(other, [source.path])]);
    await Promise.all([waitForStatus(page, "done"), waitForStatus(other, "done")]);
    expect((await account.list()).map(({ fingerprint }) => fingerprint)).toContain(source.sha256);
    expectEachPartOnce({ ...wire, stored: [...wire.stored, ...otherWire.stored] }, ...countDefined(24));
    expect(errors).toEqual([]);
  } finally {
    await source.remove();
  }
});

test("file that changed while its upload was paused is told, and sent anew by a retry", async ({ page }) => {
  const account = await Account.create();
  await openUploader(page, site, { token: await createToken(account) });
  const paused = pauseWhileSending(page);
  await addPrivateFile(page, "notes.txt", 24 * MIB);
  await paused;
  await waitForStatus(page, "paused");
  await writePrivateFile(page, "notes.txt", 12 * MIB, 2);
  await page.evaluate(() => window.uploader.resumeAll());
  await waitForStatus(page, "failed");
  expect(await readItems(page)).toMatchObject([{ failure: { code: "file-changed" } }]);
  await page.evaluate(() => window.uploader.retryAll());
  await waitForStatus(page, "done");
  expect(await account.list()).toMatchObject([{ name: "notes.txt", size_bytes: 12 * MIB }]);
});

test("picked file that changed on the disk fails instead of waiting at 0 %", async ({ page }) => {
  const account = await Account.create();
  const source = await makeRandomFile("film.mov", MIB);
  try {
    await openUploader(page, site, { token: await createToken(account) });
    await page.setInputFiles("input", source.path);
    await writeFile(source.path, "other content");
    await page.evaluate(() => window.uploader.add(document.querySelector("input")?.files ?? []));
    await waitForStatus(page, "failed");
    expect(await readItems(page)).toMatchObject([{ failure: { code: "file-unreadable" } }]);
    expect(await account.list()).toEqual([]);
  } finally {
    await source.remove();
  }
});

test("uploader whose worker does not start or is ended says so, and starts another", async ({ page }) => {
  const account = await Account.create();
  await openUploader(page, site, { token: await createToken(account) });
  await page.evaluate(async () => {
    const { client } = window.uploader["options"];
    await window.uploader.close();
    const createWorker = () => new Worker(document.body.dataset["worker"] ?? "/missing.js", { type: "module" });
    window.uploader = window.dbx.createUploader({ client, createWorker });
    await window.uploader.add([new File(["x"], "x.txt")]);
  });
  await waitForStatus(page, "failed");
  expect(await readItems(page)).toMatchObject([{ failure: { code: "worker-failed" } }]);
  await page.evaluate(() => {
    document.body.dataset["worker"] = "/clients/js/dist/worker.js";
    window.uploader.retryAll();
  });
  await waitForStatus(page, "done");
  expect(await account.list()).toMatchObject([{ name: "x.txt" }]);

  await page.evaluate(async () => {
    window.uploader.clear();
    await window.uploader.add([new File(["y"], "y.txt"), new File(["z"], "z.txt")]);
    window.uploader["worker"].terminate();
  });
  await waitForStatus(page, "failed");
  await page.evaluate(() => window.uploader.cancelAll());
  await waitForStatus(page, "cancelled");
});

test("package that comes from another origin than the page uploads", async ({ page }) => {
  const account = await Account.create();
  const wire = watchWire(page);
  await openUploader(page, site, { token: await createToken(account) }, "/other");
  await addPrivateFile(page, "film.mov", 9 * MIB); // large enough for WebAssembly
  await waitForStatus(page, "done");
  expect(await account.list()).toMatchObject([{ size_bytes: 9 * MIB }]);
  expect(wire.errors).toEqual([]);
});

test("dropped folder arrives with its empty subfolders", async ({ page }) => {
  const account = await Account.create();
  const folder = await mkdtemp(join(tmpdir(), "dropbox-api-e2e-tree-"));
  try {
    await mkdir(join(folder, "trip", "empty", "below"), { recursive: true });
    await mkdir(join(folder, "trip", "day 1"));
    await writeFile(join(folder, "trip", "day 1", "cat.txt"), "cat");
    await writeFile(join(folder, "trip", "plan.txt"), "plan");
    await openUploader(page, site, { token: await createToken(account) });
    await dropPath(page, join(folder, "trip"));
    await waitForStatus(page, "done");
    const { items } = await account.call<{ items: { path: string }[] }>("GET", "/v1/files?recursive=true");
    const paths = items.map(({ path }) => path).toSorted();
    const below = ["/trip/day 1", "/trip/day 1/cat.txt", "/trip/empty", "/trip/empty/below", "/trip/plan.txt"];
    expect(paths).toEqual(["/trip", ...below]);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("upload of 1,000 small files takes few calls, and a taken name is asked about once", async ({ page }) => {
  const account = await Account.create();
  await account.upload("7.txt", new Uint8Array([1]));
  const wire = watchWire(page);
  await openUploader(page, site, { token: await createToken(account) });
  const asked = await page.evaluate(async () => {
    const { client } = window.uploader["options"];
    await window.uploader.close();
    const asked: string[] = [];
    window.uploader = window.dbx.createUploader({
      client,
      onConflict: ({ item }) => {
        asked.push(item.name);
        return { choice: "replace", forAll: true };
      },
    });
    const files = Array.from({ length: 1000 }, (_, index) => new File([`file ${index}`], `${index}.txt`));
    await window.uploader.add(files);
    return asked;
  });
  expect(asked).toEqual([]); // they are taken before they are sent
  await waitForStatus(page, "done");
  const { items } = await account.call<{ items: { name: string; size_bytes: number }[] }>(
    "GET",
    "/v1/files?limit=1000",
  );
  expect(items).toHaveLength(1000);
  expect(items.find(({ name }) => name === "7.txt")).toMatchObject({ size_bytes: 6 });
  expect(wire.stored).toHaveLength(1000);
  expect(wire.apiCalls).toBeLessThan(40);
});
