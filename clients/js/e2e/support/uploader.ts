// Drives the engine in a page of the site.

import type { Page, Response } from "playwright-core";
import { expect } from "vitest";
import { type Account, server } from "../../../../web/e2e/support/account.ts";
import type * as api from "../../src/index.ts";
import type * as upload from "../../src/upload/index.ts";
import type { Site } from "./site.ts";

declare global {
  interface Window {
    /** Where a test gives the page tokens by `exposeFunction`. */
    fetchToken?: () => Promise<string>;
    dbx: typeof api & typeof upload;
    uploader: upload.Uploader;
  }
}

export type Item = Pick<upload.UploadItem, "name" | "status" | "sentBytes" | "sizeBytes" | "failure">;

export interface Access {
  /** A personal token: only a test puts one into a page. */
  token?: string;
  link?: string;
}

export async function createToken(account: Account, name = "page"): Promise<string> {
  const wanted = { name, scopes: ["files:read", "files:write"] };
  return (await account.call<{ token: string }>("POST", "/v1/me/tokens", wanted)).token;
}

/** Open the test page and make an uploader; also after a reload. */
export async function openUploader(page: Page, site: Site, access: Access = {}, path = "/test"): Promise<void> {
  await page.goto(site.origin + path);
  await page.waitForFunction(() => window.dbx);
  await page.evaluate(
    async ({ server, token, link }) => {
      const { createClient, createUploader, bearer } = window.dbx;
      const source = window.fetchToken ?? token;
      const client = createClient({ baseUrl: server, ...(source && { auth: bearer(source) }) });
      window.uploader = createUploader({ client, ...(link && { link: { token: link } }) });
      await window.uploader.ready;
    },
    { server, ...access },
  );
}

/** Pick files in the page and upload them. */
export async function addFiles(page: Page, paths: string[]): Promise<void> {
  await page.setInputFiles("input", paths);
  await page.evaluate(() => window.uploader.add(document.querySelector("input")?.files ?? []));
}

/** Write a file of pseudo-random bytes to the page's private file system, and upload it by its handle. */
export async function addPrivateFile(page: Page, name: string, sizeBytes: number): Promise<void> {
  await writePrivateFile(page, name, sizeBytes, 1);
  await page.evaluate(async (name) => {
    const directory = await navigator.storage.getDirectory();
    const tree = await window.dbx.readHandles([await directory.getFileHandle(name)]);
    await window.uploader.add(tree);
  }, name);
}

export async function writePrivateFile(page: Page, name: string, sizeBytes: number, seed: number): Promise<void> {
  const write = async ([name, sizeBytes, seed]: readonly [string, number, number]) => {
    const directory = await navigator.storage.getDirectory();
    const file = await (await directory.getFileHandle(name, { create: true })).createWritable();
    let state = seed;
    for (let left = sizeBytes; left > 0; left -= 2 ** 20) {
      const words = new Uint32Array(Math.min(left, 2 ** 20) / 4);
      for (let index = 0; index < words.length; index++) {
        state ^= state << 13;
        state ^= state >>> 17;
        state ^= state << 5;
        words[index] = state;
      }
      await file.write(words);
    }
    await file.close();
  };
  await page.evaluate(write, [name, sizeBytes, seed] as const);
}

/** Drop a file or folder of this machine on the page, which uploads it. */
export async function dropPath(page: Page, path: string): Promise<void> {
  await page.evaluate(() => {
    document.ondragover = (event) => event.preventDefault();
    document.ondrop = async (event) => {
      event.preventDefault();
      if (event.dataTransfer) await window.uploader.add(await window.dbx.readDrop(event.dataTransfer));
    };
  });
  const devtools = await page.context().newCDPSession(page);
  const data = { items: [], files: [path], dragOperationsMask: 1 };
  for (const type of ["dragEnter", "dragOver", "drop"] as const) {
    await devtools.send("Input.dispatchDragEvent", { type, x: 10, y: 10, data });
  }
}

export function readItems(page: Page): Promise<Item[]> {
  return page.evaluate(() =>
    window.uploader.getSnapshot().items.map(({ name, status, sentBytes, sizeBytes, failure }) => {
      return { name, status, sentBytes, sizeBytes, failure };
    }),
  );
}

/** Wait until all uploads have this status, if only for a moment; an upload that ended otherwise fails the test. */
export async function waitForStatus(page: Page, status: Item["status"]): Promise<void> {
  const statuses = await page.waitForFunction((status) => {
    const statuses = window.uploader.getSnapshot().items.map((item) => item.status);
    const ended = ["done", "failed", "skipped", "cancelled"];
    const isOver = statuses.length > 0 && statuses.every((each) => each === status || ended.includes(each));
    return isOver && statuses;
  }, status);
  // Of the same moment: uploads that wait try again.
  expect(new Set((await statuses.jsonValue()) || [])).toEqual(new Set([status]));
}

/** Pause all uploads as soon as something is sent. Call it before they start: a fast one would be over before. */
export async function pauseWhileSending(page: Page): Promise<void> {
  await page.evaluate(
    () =>
      new Promise<void>((resolve) => {
        const unsubscribe = window.uploader.subscribe(() => {
          if (!window.uploader.getSnapshot().sentBytes) return;
          unsubscribe();
          window.uploader.pauseAll();
          resolve();
        });
      }),
  );
}

/** Wait until this share of all bytes is sent. */
export async function waitForShare(page: Page, share: number): Promise<void> {
  await page.waitForFunction((share) => {
    const { sentBytes, sizeBytes } = window.uploader.getSnapshot();
    return sentBytes > share * sizeBytes;
  }, share);
}

export interface Wire {
  /** Parts that the store took, by their number; one of a small file is "single". */
  stored: string[];
  /** Bytes of request bodies that went to the API. */
  apiBytes: number;
  apiCalls: number;
  /** What the console reported as an error. */
  errors: string[];
}

/** Return the fewest and the most chunks of a file that is cut where its content says. */
export function countDefined(sizeMib: number): [fewest: number, most: number] {
  return [Math.ceil(sizeMib / 16), Math.ceil(sizeMib / 5)];
}

/** Check that the store took each part once, that no content went to the API, and that the console stayed empty. */
export function expectEachPartOnce(wire: Wire, fewest: number, most = fewest): void {
  // The answers about the parts in flight, at most six, may have come too late for the visit that sent them.
  expect(wire.stored.toSorted()).toEqual([...new Set(wire.stored)].toSorted());
  expect(wire.stored.length).toBeLessThanOrEqual(most);
  expect(wire.stored.length).toBeGreaterThanOrEqual(Math.max(1, fewest - 6));
  expect(wire.apiBytes).toBeLessThan(50_000);
  expect(wire.errors).toEqual([]);
}

/** Watch what a page and its workers send. */
export function watchWire(page: Page): Wire {
  const wire: Wire = { stored: [], apiBytes: 0, apiCalls: 0, errors: [] };
  page.on("console", (message) => message.type() === "error" && wire.errors.push(message.text()));
  page.on("dialog", (dialog) => dialog.accept().catch(() => undefined)); // of beforeunload
  page.on("response", (response: Response) => {
    const request = response.request();
    const url = new URL(request.url());
    if (request.method() === "PUT" && response.ok()) {
      if (url.origin !== server) wire.stored.push(`${url.pathname} ${url.searchParams.get("partNumber") ?? "single"}`);
    }
    if (url.origin === server && request.method() !== "OPTIONS") {
      wire.apiCalls += 1;
      wire.apiBytes += request.postDataBuffer()?.length ?? 0;
    }
  });
  return wire;
}
