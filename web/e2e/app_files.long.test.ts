// A folder of 100,000 entries.

import { expect } from "vitest";
import { Account } from "./support/account.ts";
import { signIn, test } from "./support/app.ts";

const ENTRIES = 100_000;
const BATCH = 500;
const LINE_PX = 48;
const LONG_MS = 1_800_000;

test("folder of 100,000 entries has its height at once, few elements, an end, and is selected and deleted whole", {
  timeout: LONG_MS,
}, async ({ page }) => {
  const account = await Account.create();
  const folder = await account.createFolder("Many");
  for (let begin = 1; begin <= ENTRIES; begin += BATCH) {
    const operations = Array.from({ length: BATCH }, (_, index) => {
      return { op: "create_folder", name: `entry ${begin + index}`, parent_id: folder.id };
    });
    await account.call("POST", "/v1/files/batch", { operations });
  }
  page.setDefaultTimeout(LONG_MS);
  await signIn(page, account, `/files/${folder.id}`);
  const row = (number: number) => page.getByRole("row", { name: `entry ${number}`, exact: true });
  await row(1).waitFor();
  const height = () => page.locator("[role=presentation] > [role=rowgroup]").evaluate((list) => list.clientHeight);
  expect(await height()).toBe(ENTRIES * LINE_PX);

  await row(1).focus();
  await page.keyboard.press("End");
  await row(ENTRIES).waitFor();
  expect(await page.getByRole("grid").getAttribute("aria-rowcount")).toBe(`${ENTRIES + 1}`);
  expect(await page.locator("[data-id]").count()).toBeLessThan(200);

  await page.keyboard.press("Control+a");
  await page
    .getByText(/100,000 selected/)
    .first()
    .waitFor();
  await page.keyboard.press("Delete");
  await page.getByText("This folder is empty").waitFor();
  await expect.poll(async () => (await account.list(folder)).length, { timeout: LONG_MS }).toBe(0);
});
