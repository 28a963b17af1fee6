// The server's own pages: links without script, and the description of the API.

import { randomBytes } from "node:crypto";
import { expect } from "vitest";
import { Account, server } from "./support/account.ts";
import { hashFile, sha256 } from "./support/files.ts";
import { collectErrors, test, withoutScript } from "./support/test.ts";

// One white pixel.
const PNG = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAG7buVgAAAABJRU5ErkJggg==",
  "base64",
);

withoutScript("page of a link without script shows and saves the files of a folder", async ({ page }) => {
  const account = await Account.create();
  const folder = await account.createFolder("Holidays");
  const content = randomBytes(70_000);
  await account.upload("dot.png", PNG, folder);
  await account.upload("notes.bin", content, folder);
  const link = await account.createLink(folder, { mode: "download" });

  await page.goto(server + link.url_path);
  expect(await page.getByRole("heading").textContent()).toBe("Holidays");
  const download = page.waitForEvent("download");
  await page.getByRole("link", { name: "Download notes.bin" }).click();
  const saved = await download;
  expect(saved.suggestedFilename()).toBe("notes.bin");
  expect(await hashFile(await saved.path())).toBe(sha256(content));

  await page.getByRole("link", { name: "View dot.png" }).click();
  await page.waitForURL((url) => url.origin !== server);
  expect(await page.locator("img").evaluateAll((images) => images.length)).toBe(1);
});

withoutScript("page of a link with a password asks for it once", async ({ page }) => {
  const account = await Account.create();
  const file = await account.upload("plan.pdf", randomBytes(1000));
  const link = await account.createLink(file, { mode: "download", password: "open sesame" });

  await page.goto(server + link.url_path);
  await page.getByLabel("Password").fill("wrong");
  await page.getByRole("button", { name: "Open" }).click();
  expect(await page.getByRole("alert").textContent()).toBe("That was not the password.");
  await page.getByLabel("Password").fill("open sesame");
  await page.getByRole("button", { name: "Open" }).click();
  await page.getByRole("link", { name: "Download" }).waitFor();
  await page.goto(server + link.url_path);
  await page.getByRole("link", { name: "Download" }).waitFor();
});

withoutScript("form of an upload link sends files without script", async ({ page }) => {
  const account = await Account.create();
  const folder = await account.createFolder("Inbox");
  const link = await account.createLink(folder, { mode: "upload" });
  const contents = { "a.bin": randomBytes(2_000_000), "b.bin": randomBytes(1) };

  await page.goto(server + link.url_path);
  await page
    .getByLabel("Files")
    .setInputFiles(
      Object.entries(contents).map(([name, buffer]) => ({ name, mimeType: "application/octet-stream", buffer })),
    );
  await page.getByRole("button", { name: "Send" }).click();
  expect(await page.getByRole("status").textContent()).toBe("2 files have arrived. You can send more.");
  const received = (await account.list(folder)).map(({ name, fingerprint }) => [name, fingerprint]);
  expect(received).toEqual(Object.entries(contents).map(([name, content]) => [name, sha256(content)]));
});

test("description of the API opens and sends a request under its policy", async ({ page }) => {
  await page.goto(`${server}/docs`);
  const operation = page.locator("#operations-auth-auth_get_oidc");
  await page.locator("#operations-tag-auth").click();
  await operation.click();
  await operation.getByRole("button", { name: "Execute" }).click();
  await operation.locator(".live-responses-table .response-col_status").filter({ hasText: "200" }).first().waitFor();
});

test("page collects violations of its policy as errors", async ({ context }) => {
  const page = await context.newPage();
  const errors = collectErrors(page);
  await page.goto(`${server}/`);
  await page.evaluate(() => document.body.append(Object.assign(document.createElement("script"), { text: "1" })));
  expect(errors).toEqual([expect.stringContaining("Content Security Policy")]);
});
