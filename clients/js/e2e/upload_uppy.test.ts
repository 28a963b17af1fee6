// Uppy's Dashboard on the plugin, unchanged.

import { expect } from "vitest";
import { Account, server } from "../../../web/e2e/support/account.ts";
import { MIB, makeRandomFile } from "../../../web/e2e/support/files.ts";
import { test } from "./support/network.ts";
import { openSite } from "./support/site.ts";
import { countDefined, createToken, expectEachPartOnce, watchWire } from "./support/uploader.ts";

test("Dashboard of Uppy cancels all uploads, and pauses, resumes and completes one", async ({
  page,
  context,
  network,
}) => {
  const account = await Account.create();
  const source = await makeRandomFile("film.mov", 20 * MIB);
  const others = await Promise.all([9, 9, 1, 1].map((size, index) => makeRandomFile(`${index}.bin`, size * MIB)));
  const site = await openSite();
  const wire = watchWire(page);
  try {
    await page.goto(`${site.origin}/uppy#${new URLSearchParams({ server, token: await createToken(account) })}`);
    const input = page.locator("input[type=file]").first();
    const countSessions = async () =>
      (await account.call<{ items: unknown[] }>("GET", "/v1/uploads?state=active")).items.length;
    network.hold(site.store);
    await input.setInputFiles(others.map(({ path }) => path));
    await page.getByRole("button", { name: "Upload 4 files" }).click();
    await network.waitForHeld(site.store, 4);
    await expect.poll(countSessions, { timeout: 30_000 }).toBe(4);
    await page.getByTitle("Cancel", { exact: true }).click();
    await expect.poll(countSessions, { timeout: 30_000 }).toBe(0);
    network.restore(site.store);

    await input.setInputFiles(source.path);
    await context.setOffline(true); // so that the upload lasts until it is paused
    await page.getByRole("button", { name: "Upload 1 file" }).click();
    await page.getByRole("button", { name: "Pause", exact: true }).click();
    await page.getByText("Paused", { exact: true }).waitFor();
    await context.setOffline(false);
    expect(await account.list()).toEqual([]);
    await page.getByRole("button", { name: "Resume", exact: true }).click();
    await page.getByText("Complete", { exact: true }).waitFor();
    expect(await account.list()).toMatchObject([{ name: "film.mov", fingerprint: source.sha256 }]);
    expectEachPartOnce(wire, ...countDefined(20));
    if (process.env["SCREENSHOT"]) await page.screenshot({ path: process.env["SCREENSHOT"] });
  } finally {
    site.close();
    for (const file of [source, ...others]) await file.remove();
  }
});
