// Uppy's Dashboard on the plugin, unchanged.

import { expect } from "vitest";
import { Account, server } from "../../../web/e2e/support/account.ts";
import { MIB, makeRandomFile } from "../../../web/e2e/support/files.ts";
import { test } from "../../../web/e2e/support/test.ts";
import { openSite } from "./support/site.ts";
import { createToken, watchWire } from "./support/uploader.ts";

test("Dashboard of Uppy pauses, resumes and completes an upload", async ({ page, context }) => {
  const account = await Account.create();
  const source = await makeRandomFile("film.mov", 20 * MIB);
  const site = await openSite();
  const wire = watchWire(page);
  try {
    await page.goto(`${site.origin}/uppy#${new URLSearchParams({ server, token: await createToken(account) })}`);
    await page.locator("input[type=file]").first().setInputFiles(source.path);
    await context.setOffline(true); // so that the upload lasts until it is paused
    await page.getByRole("button", { name: "Upload 1 file" }).click();
    await page.getByRole("button", { name: "Pause", exact: true }).click();
    await page.getByText("Paused", { exact: true }).waitFor();
    await context.setOffline(false);
    expect(await account.list()).toEqual([]);
    await page.getByRole("button", { name: "Resume", exact: true }).click();
    await page.getByText("Complete", { exact: true }).waitFor();
    expect(await account.list()).toMatchObject([{ name: "film.mov", fingerprint: source.sha256 }]);
    expect(wire.stored).toHaveLength(3);
    if (process.env["SCREENSHOT"]) await page.screenshot({ path: process.env["SCREENSHOT"] });
  } finally {
    site.close();
    await source.remove();
  }
});
