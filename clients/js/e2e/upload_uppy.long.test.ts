// Uppy's Dashboard on the plugin while the store refuses files. Run by `make e2e-long`.

import { expect } from "vitest";
import { Account, server } from "../../../web/e2e/support/account.ts";
import { MIB, makeRandomFile } from "../../../web/e2e/support/files.ts";
import { test } from "./support/network.ts";
import { openSite } from "./support/site.ts";
import { createToken, watchWire } from "./support/uploader.ts";

test("Dashboard of Uppy retries all uploads that the store refused, and each by itself", async ({ page, network }) => {
  const account = await Account.create();
  const files = await Promise.all([1, 1, 9].map((size, index) => makeRandomFile(`${index}.bin`, size * MIB)));
  const site = await openSite();
  const wire = watchWire(page);
  const waitForRefusals = async (count: number) => {
    await expect.poll(() => wire.errors.length, { timeout: 60_000 }).toBe(count);
    await expect.poll(() => retries.count()).toBe(3);
  };
  const retries = page.locator(".uppy-Dashboard-Item").getByRole("button", { name: "Retry upload" });
  try {
    await page.goto(`${site.origin}/uppy#${new URLSearchParams({ server, token: await createToken(account) })}`);
    network.refuse(site.store);
    const input = page.locator("input[type=file]").first();
    await input.setInputFiles(files.map(({ path }) => path));
    await page.getByRole("button", { name: "Upload 3 files" }).click();
    await waitForRefusals(3); // Uppy writes each into the console
    await page.locator(".uppy-StatusBar-actionBtn--retry").click();
    await waitForRefusals(6);
    network.restore(site.store);
    for (const _ of files) await retries.first().click();
    await page.getByText("Complete", { exact: true }).waitFor();
    expect((await account.list()).map(({ name }) => name).toSorted()).toEqual(["0.bin", "1.bin", "2.bin"]);
    expect(wire.stored).toHaveLength(4);
  } finally {
    site.close();
    for (const file of files) await file.remove();
  }
});
