// The administration, in the web app.

import { randomUUID } from "node:crypto";
import { expect } from "vitest";
import { Account, server } from "./support/account.ts";
import { makeAdmin } from "./support/admin.ts";
import { expectNoViolations, signIn, test } from "./support/app.ts";

test("administrator creates an account, changes its space and disables it, which asks before", async ({
  page,
  context,
}) => {
  const admin = await Account.create();
  await signIn(page, admin, "/admin");
  await page.getByText("Page not found").first().waitFor();
  await makeAdmin(admin);
  await page.reload();
  await page.getByRole("region", { name: "Server" }).getByText("Database").waitFor();
  await expectNoViolations(page);

  const [email, password] = [`${randomUUID()}@example.org`, randomUUID()];
  const signsIn = async () => {
    const body = new URLSearchParams({ grant_type: "password", username: email, password });
    return (await fetch(`${server}/v1/auth/token`, { method: "POST", body })).ok;
  };
  expect(await signsIn()).toBe(false);
  await page.getByRole("button", { name: "Create an account" }).click();
  const form = page.getByRole("dialog", { name: "Create an account" });
  await form.getByLabel("Email address").fill(email);
  await form.getByLabel("Password", { exact: true }).fill(password);
  await expectNoViolations(page);
  await form.getByRole("button", { name: "Create an account" }).click();
  await form.waitFor({ state: "detached" });
  expect(await signsIn()).toBe(true);

  await page.getByLabel("Search by address").fill(email);
  const row = page.getByRole("row").filter({ hasText: email });
  const choose = async (name: string) => {
    await row.getByRole("button", { name: `Actions for ${email}` }).click();
    await page.getByRole("menuitem", { name }).click();
  };
  await choose("Change the space");
  const quota = page.getByRole("dialog", { name: "Change the space" });
  await quota.getByLabel("Space in GB").fill("2.5");
  await quota.getByRole("button", { name: "Save" }).click();
  await row.getByText("of 2.5 GB used").waitFor();

  const question = page.getByRole("dialog", { name: "Disable the account" });
  for (const leave of [
    () => page.keyboard.press("Escape"),
    () => question.getByRole("button", { name: "Cancel" }).click(),
  ]) {
    await choose("Disable the account");
    await question.getByText(email).waitFor();
    await leave();
    await question.waitFor({ state: "detached" });
  }
  expect(await signsIn()).toBe(true);
  await choose("Disable the account");
  await expectNoViolations(page);
  await context.setOffline(true);
  await question.getByRole("button", { name: "Disable the account" }).click();
  await question.getByRole("alert").waitFor();
  await context.setOffline(false);
  await question.getByRole("button", { name: "Disable the account" }).click();
  await row.getByText("Disabled").waitFor();
  await question.waitFor({ state: "detached" });
  expect(await signsIn()).toBe(false);
});
