// Uploads while the network, the server, the store and other devices do something else. Run by `make e2e-long`.

import { afterAll, beforeAll, expect } from "vitest";
import { Account, server } from "../../../web/e2e/support/account.ts";
import { type MadeFile, MIB, makeRandomFile } from "../../../web/e2e/support/files.ts";
import { test } from "./support/network.ts";
import { openSite, type Site } from "./support/site.ts";
import { addFiles, createToken, openUploader, type Wire, waitForStatus, watchWire } from "./support/uploader.ts";

let site: Site;
/** Several parts. */
let source: MadeFile;

beforeAll(async () => {
  site = await openSite();
  source = await makeRandomFile("film.mov", 24 * MIB);
});
afterAll(async () => {
  site.close();
  await source.remove();
});

/** Check that the file is there, and that none of its bytes went to the API. */
async function expectFile(account: Account, wire: Wire): Promise<void> {
  expect(await account.list()).toMatchObject([{ name: "film.mov", fingerprint: source.sha256 }]);
  expect(wire.apiBytes).toBeLessThan(50_000);
}

test.for([
  { name: "the store", isStoreAway: true, isServerAway: false },
  { name: "the API", isStoreAway: false, isServerAway: true },
  { name: "store and API", isStoreAway: true, isServerAway: true },
])(
  "upload that loses $name while parts are under way goes on when the network is back",
  async (away, { page, network }) => {
    const account = await Account.create();
    const wire = watchWire(page);
    await openUploader(page, site, { token: await createToken(account) });
    network.hold(site.store);
    await addFiles(page, [source.path]);
    await network.waitForHeld(site.store, 2);
    if (away.isServerAway) network.cut(server);
    if (away.isStoreAway) network.cut(site.store);
    else network.restore(site.store);
    await waitForStatus(page, "waiting");
    network.restore(site.store);
    network.restore(server);
    await waitForStatus(page, "done");
    await expectFile(account, wire);
  },
);

test("part that the network damages is sent again", async ({ page, network }) => {
  const account = await Account.create();
  const wire = watchWire(page);
  const refused: number[] = [];
  page.on("response", (response) => response.ok() || refused.push(response.status()));
  await openUploader(page, site, { token: await createToken(account) });
  network.damage(site.store);
  await addFiles(page, [source.path]);
  await waitForStatus(page, "done");
  await expectFile(account, wire);
  const [file] = await account.list();
  if (file) expect(await account.hashDownload(file)).toBe(source.sha256);
  expect(wire.stored.toSorted()).toEqual([...new Set(wire.stored)].toSorted());
  expect(refused).toEqual([400]);
});

test("upload whose token ends half-way goes on with another token", async ({ page, network }) => {
  const account = await Account.create();
  const wire = watchWire(page);
  const [token, nextToken] = [await createToken(account, "first"), await createToken(account, "second")];
  const tokens = [token, nextToken];
  await page.exposeFunction("fetchToken", () => tokens.shift());
  await openUploader(page, site);
  network.hold(site.store);
  await addFiles(page, [source.path]);
  await network.waitForHeld(site.store, 1);
  const { items } = await account.call<{ items: { id: string; name: string }[] }>("GET", "/v1/me/tokens");
  await account.call("DELETE", `/v1/me/tokens/${items.find(({ name }) => name === "first")?.id}`);
  network.restore(site.store);
  await waitForStatus(page, "done");
  await expectFile(account, wire);
  expect(tokens).toEqual([]);
});

test("upload whose session another device aborts goes on in a new one", async ({ page, network }) => {
  const account = await Account.create();
  const wire = watchWire(page);
  await openUploader(page, site, { token: await createToken(account) });
  network.hold(site.store);
  await addFiles(page, [source.path]);
  await network.waitForHeld(site.store, 2);
  const { items } = await account.call<{ items: { id: string }[] }>("GET", "/v1/uploads");
  expect(items).toHaveLength(1);
  await account.call("DELETE", `/v1/uploads/${items[0]?.id}`);
  network.restore(site.store);
  await waitForStatus(page, "done");
  await expectFile(account, wire);
});

test("upload whose session another device completes is done", async ({ page, network, browser }) => {
  const account = await Account.create();
  const wire = watchWire(page);
  const token = await createToken(account);
  const device = await browser.newContext();
  const other = await device.newPage();
  await openUploader(page, site, { token });
  network.hold(site.store);
  await addFiles(page, [source.path]);
  await network.waitForHeld(site.store, 2);
  await openUploader(other, site, { token });
  await addFiles(other, [source.path]);
  await waitForStatus(other, "done");
  network.restore(site.store);
  await waitForStatus(page, "done");
  await expectFile(account, wire);
  await device.close();
});
