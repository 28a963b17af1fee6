// Uploads of one tab in another tab of the browser.

import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect } from "vitest";
import { Account } from "../../../web/e2e/support/account.ts";
import { MIB, makeRandomFile } from "../../../web/e2e/support/files.ts";
import { collectErrors } from "../../../web/e2e/support/test.ts";
import { test } from "./support/network.ts";
import { openSite, type Site } from "./support/site.ts";
import {
  addFiles,
  countDefined,
  createToken,
  expectEachPartOnce,
  openUploader,
  waitForStatus,
  watchWire,
} from "./support/uploader.ts";

let site: Site;

beforeAll(async () => {
  site = await openSite();
});
afterAll(() => site.close());

test("upload is shown by another tab, paused and resumed there, and goes on there when its own tab closes", async ({
  page,
  context,
  network,
}) => {
  const account = await Account.create();
  const token = await createToken(account);
  const source = await makeRandomFile("film.mov", 96 * MIB);
  const other = await context.newPage();
  const errors = collectErrors(other);
  const [wire, otherWire] = [watchWire(page), watchWire(other)];
  try {
    for (const tab of [page, other]) await openUploader(tab, site, { token });
    network.hold(site.store);
    await addFiles(page, [source.path]);
    await network.waitForHeld(site.store, 1);
    await other.waitForFunction(() => window.uploader.getSnapshot().items[0]?.status === "sending");
    await other.evaluate(() => window.uploader.pauseAll());
    await waitForStatus(page, "paused");

    network.restore(site.store);
    await other.evaluate(() => window.uploader.resumeAll());
    await expect.poll(() => wire.stored.length, { timeout: 120_000 }).toBeGreaterThan(2);
    network.hold(site.store);
    await network.waitForHeld(site.store, 1);
    await other.waitForFunction((bytes) => window.uploader.getSnapshot().sentBytes >= bytes, 3 * 8 * MIB);
    expect(await readOwners(other)).toEqual([true]);
    expect(otherWire.stored).toEqual([]);

    await page.close();
    network.restore(site.store);
    await waitForStatus(other, "done");
    expect(await readOwners(other)).toEqual([false]);
    expect(await account.list()).toMatchObject([{ name: "film.mov", fingerprint: source.sha256 }]);
    expectEachPartOnce({ ...otherWire, stored: [...wire.stored, ...otherWire.stored] }, ...countDefined(96));
    expect(errors).toEqual([]);
  } finally {
    await source.remove();
  }
});

/** Return of each upload that a tab shows whether another tab sends it. */
function readOwners(tab: Page): Promise<boolean[]> {
  return tab.evaluate(() => window.uploader.getSnapshot().items.map(({ isOfOtherTab }) => isOfOtherTab));
}
