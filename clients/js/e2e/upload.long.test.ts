// Uploads that take long: run by `make e2e-long`. Access tokens live for 30 s there, and signed URLs for 120 s.

import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect } from "vitest";
import { Account, type RemoteFile, server } from "../../../web/e2e/support/account.ts";
import { killBrowser, openProfile } from "../../../web/e2e/support/chromium.ts";
import { MIB, makeRandomFile, makeSparseFile } from "../../../web/e2e/support/files.ts";
import { test } from "./support/network.ts";
import { openSite, type Site } from "./support/site.ts";
import {
  addFiles,
  addPrivateFile,
  countDefined,
  createToken,
  expectEachPartOnce,
  openUploader,
  waitForShare,
  waitForStatus,
  watchWire,
} from "./support/uploader.ts";

/** Between two samples of the memory. */
const SAMPLE_MS = 250;

let site: Site;

beforeAll(async () => {
  site = await openSite();
});
afterAll(() => site.close());

test("upload of 10,000 small files sends each once, with fewer calls than files", async ({ page }) => {
  const account = await Account.create();
  const wire = watchWire(page);
  await openUploader(page, site, { token: await createToken(account) });
  await page.evaluate(async () => {
    const files = Array.from({ length: 10_000 }, (_, index) => new File([`file ${index}`], `${index}.txt`));
    await window.uploader.add(files);
  });
  await waitForStatus(page, "done");
  const names = (await listAll(account)).map(({ name }) => name);
  expect(new Set(names).size).toBe(10_000);
  expect(wire.stored).toHaveLength(10_000);
  expect(wire.apiCalls).toBeLessThan(10_000); // about 150; a busy machine sends some files by themselves
  expect(wire.errors).toEqual([]);
});

async function listAll(account: Account): Promise<RemoteFile[]> {
  const files: RemoteFile[] = [];
  for (let cursor: string | null = ""; cursor !== null; ) {
    const query = `limit=1000${cursor && `&cursor=${encodeURIComponent(cursor)}`}`;
    const page: { items: RemoteFile[]; next_cursor: string | null } = await account.call("GET", `/v1/files?${query}`);
    files.push(...page.items);
    cursor = page.next_cursor;
  }
  return files;
}

test("upload of 5 GiB takes as much memory at its end as at its begin", async ({ page, browser }) => {
  const account = await Account.create();
  const source = await makeSparseFile("disk.img", 5 * 1024 * MIB);
  const wire = watchWire(page);
  try {
    await openUploader(page, site, { token: await createToken(account) });
    await addFiles(page, [source.path]);
    const samples: Memory[] = [];
    while (await isAnyRunning(page)) {
      samples.push(await sampleMemory(page, browser));
      await pause(SAMPLE_MS);
    }
    await waitForStatus(page, "done");
    expect(await account.list()).toMatchObject([{ fingerprint: source.sha256 }]);
    const half = samples.length / 2;
    const [begin, end] = [findPeak(samples.slice(0, half)), findPeak(samples.slice(half))];
    console.log("memory in MB", { samples: samples.length, begin, end });
    expect(samples.length).toBeGreaterThan(10);
    expect(end.heap).toBeLessThan(40);
    expect(end.resident).toBeLessThan(begin.resident + 100);
    expect(wire.stored).toHaveLength(320); // chunks of zeros have 16 MiB
    expect(wire.apiBytes).toBeLessThan(500_000);
  } finally {
    await source.remove();
  }
});

function isAnyRunning(page: Page): Promise<boolean> {
  return page.evaluate(() => window.uploader.getSnapshot().isRunning);
}

/** In MB. */
interface Memory {
  /** Objects of the page's scripts. */
  heap: number;
  /** All memory of the processes that run pages and their workers. */
  resident: number;
}

async function sampleMemory(page: Page, browser: Browser): Promise<Memory> {
  const ofPage = await page.context().newCDPSession(page);
  const { usedSize } = await ofPage.send("Runtime.getHeapUsage");
  await ofPage.detach();
  const ofBrowser = await browser.newBrowserCDPSession();
  const { processInfo } = await ofBrowser.send("SystemInfo.getProcessInfo");
  await ofBrowser.detach();
  const renderers = processInfo.filter(({ type }) => type === "renderer");
  const sizes = await Promise.all(renderers.map(({ id }) => readResidentBytes(id)));
  return { heap: usedSize / 1e6, resident: sizes.reduce((total, size) => total + size, 0) / 1e6 };
}

async function readResidentBytes(processId: number): Promise<number> {
  const status = await readFile(`/proc/${processId}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1024;
}

function findPeak(samples: readonly Memory[]): Memory {
  return {
    heap: Math.max(...samples.map(({ heap }) => heap)),
    resident: Math.max(...samples.map(({ resident }) => resident)),
  };
}

test("example page of another origin continues 1 GiB after a reload half-way", async ({ page }) => {
  const account = await Account.create();
  const folder = await account.createFolder("Inbox");
  const link = await account.createLink(folder, { mode: "upload" });
  const source = await makeRandomFile("film.mov", 1024 * MIB);
  const wire = watchWire(page);
  try {
    await page.goto(`${site.origin}/examples/upload.html#${server}/s/${link.token}`);
    await page.setInputFiles("input", source.path);
    await page.getByText(/^film.mov: sending, [4-6]. %$/).waitFor();
    await page.reload();
    await page.getByText("film.mov: needs-file").waitFor();
    await page.setInputFiles("input", source.path);
    await page.getByText("film.mov: done, 100 %").waitFor();
    expect(await account.list(folder)).toMatchObject([{ name: "film.mov", fingerprint: source.sha256 }]);
    expectEachPartOnce(wire, 128);
  } finally {
    await source.remove();
  }
});

test("upload of a killed browser continues by its handle and sends nothing stored twice", async ({ network }) => {
  const account = await Account.create();
  const token = await createToken(account);
  const profile = await mkdtemp(join(tmpdir(), "dropbox-api-e2e-profile-"));
  try {
    const first = await openProfile(profile, { proxy: { server: network.address } });
    const page = await first.newPage();
    const wire = watchWire(page);
    await openUploader(page, site, { token });
    await addPrivateFile(page, "film.mov", 200 * MIB);
    await waitForShare(page, 0.4);
    network.hold(site.store); // so that it is not over before the end
    await network.waitForHeld(site.store, 1);
    await killBrowser(profile, first);
    network.restore(site.store);

    const second = await openProfile(profile);
    const restored = await second.newPage();
    const restoredWire = watchWire(restored);
    await openUploader(restored, site, { token });
    await waitForStatus(restored, "done");
    expect(await account.list()).toMatchObject([{ name: "film.mov", size_bytes: 200 * MIB }]);
    expect(wire.stored.length).toBeGreaterThan(2);
    expectEachPartOnce({ ...restoredWire, stored: [...wire.stored, ...restoredWire.stored] }, ...countDefined(200));
    await second.close();
  } finally {
    await rm(profile, { recursive: true });
  }
});

test.for(["under way", "paused"])(
  "upload that is %s while its tokens and URLs expire goes on",
  async (state, { page, network }) => {
    const account = await Account.create();
    const source = await makeRandomFile("film.mov", 48 * MIB);
    const tokens: string[] = [];
    await page.exposeFunction("fetchToken", async () => {
      tokens.push(await account.signIn());
      return tokens.at(-1);
    });
    try {
      await openUploader(page, site);
      network.hold(site.store);
      await addFiles(page, [source.path]);
      const urls = await network.waitForHeld(site.store, 2);
      if (state === "paused") await page.evaluate(() => window.uploader.pauseAll());
      for (const url of urls) await waitUntilExpired(url);
      network.restore(site.store);
      if (state === "paused") await page.evaluate(() => window.uploader.resumeAll());
      await waitForStatus(page, "done");
      expect(await account.list()).toMatchObject([{ fingerprint: source.sha256 }]);
      expect(tokens.length).toBeGreaterThan(1);
    } finally {
      await source.remove();
    }
  },
);

/** Wait until a signed URL is too old for the store. */
async function waitUntilExpired(url: string): Promise<void> {
  const query = new URL(url).searchParams;
  const [, year, month, day, hour, minute, second] =
    /(....)(..)(..)T(..)(..)(..)Z/.exec(query.get("X-Amz-Date") ?? "") ?? [];
  const signedAt = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  const end = signedAt + Number(query.get("X-Amz-Expires")) * 1000;
  await expect.poll(() => Date.now(), { timeout: 600_000, interval: 500 }).toBeGreaterThan(end + 1000);
}
