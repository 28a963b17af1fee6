// Previews in the app, of files that Chromium makes.

import type { Page } from "playwright-core";
import { Account } from "./support/account.ts";
import { signIn, test } from "./support/app.ts";

const bytes = (text: string) => Buffer.from(text) as Buffer<ArrayBuffer>;
const preview = (page: Page, name: string) => page.getByRole("dialog", { name: `Preview of ${name}` });

test("preview by its address opens, and Escape closes it", async ({ page }) => {
  const account = await Account.create();
  const file = await account.upload("a.txt", bytes("words"));
  await signIn(page, account, `/files?preview=${file.id}`);
  await preview(page, "a.txt").getByText("words").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await page.getByRole("row", { name: "a.txt", exact: true }).waitFor();
});
