// The first visit of a server without accounts.

import { randomUUID } from "node:crypto";
import { expect } from "vitest";
import { runCommand } from "./support/admin.ts";
import { expectNoViolations, test } from "./support/app.ts";
import { startServer } from "./support/server.ts";

test("page of a server without accounts makes the first one, and tells the command that makes it administrator", async ({
  page,
}) => {
  const server = await startServer();
  try {
    const email = `${randomUUID()}@example.org`;
    await page.goto(server.address);
    await page.getByRole("heading", { name: "Welcome to your server" }).waitFor();
    await expectNoViolations(page);
    await page.getByRole("link", { name: "Create the account" }).click();
    await page.getByLabel("Email address").fill(email);
    await page.getByLabel("Password", { exact: true }).fill(randomUUID());
    await page.getByRole("button", { name: "Create the account" }).click();
    const menu = page.getByRole("button", { name: /your account/ });
    await menu.click();
    await page.getByRole("menuitem", { name: "Settings" }).waitFor();
    expect(await page.getByRole("menuitem", { name: "Administration" }).count()).toBe(0);

    await page.goBack();
    await page.getByText("Done: the server has an account.").waitFor();
    const command = (await page.getByText(/^dropbox-api users/).textContent()) ?? "";
    expect(command).toBe(`dropbox-api users admin ${email}`);
    await runCommand(command.replace("dropbox-api", ""), server.folder);
    await page.goto(server.address);
    await menu.click();
    await page.getByRole("menuitem", { name: "Administration" }).click();
    await page.getByRole("row").filter({ hasText: email }).getByText("Administrator").waitFor();
  } finally {
    await server.stop();
  }
});
