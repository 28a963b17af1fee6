// Trash and versions: what was deleted or replaced comes back.

import { expect } from "vitest";
import { Account, type RemoteFile } from "./support/account.ts";
import { setQuota } from "./support/admin.ts";
import { signIn, test } from "./support/app.ts";

test("file in the trash is restored with another name where its own is taken, and restoring is undone", async ({
  page,
}) => {
  const account = await Account.create();
  await trash(account, await account.upload("list.txt", Buffer.from("old")));
  await account.upload("list.txt", Buffer.from("new"));
  await signIn(page, account, "/trash");
  await page.getByRole("button", { name: "Restore list.txt" }).waitFor();
  await page.getByRole("button", { name: "Restore list.txt" }).click();
  await page.getByText("“list.txt” is restored as “list (1).txt”").waitFor();
  await page.getByText("The trash is empty").waitFor();
  expect(await namesOf(account)).toEqual(["list (1).txt", "list.txt"]);
  await page.getByRole("button", { name: "Undo" }).click();
  await page.getByRole("button", { name: "Restore list (1).txt" }).waitFor();
  expect(await namesOf(account)).toEqual(["list.txt"]);
});

test("files in the trash are ordered by name, deleted for good after a question, and the rest at once", async ({
  page,
}) => {
  const account = await Account.create();
  for (const name of ["file10.txt", "file2.txt", "zoo.txt"])
    await trash(account, await account.upload(name, Buffer.from(name)));
  await signIn(page, account, "/trash");
  const names = () => page.getByRole("list", { name: "Trash" }).getByRole("listitem").locator("p").allTextContents();
  await page.getByLabel("Order").selectOption("Name");
  await expect.poll(names).toEqual(["file2.txt", "file10.txt", "zoo.txt"]);
  await page.getByLabel("Select file2.txt").check();
  await page.getByLabel("Select zoo.txt").check();
  await page.getByText("2 selected").waitFor();
  await page.getByRole("button", { name: "Delete for good" }).click();
  const question = page.getByRole("dialog", { name: "Delete 2 items for good?" });
  await question.getByRole("button", { name: "Delete for good" }).click();
  await page.getByText("2 items are deleted for good").waitFor();
  await expect.poll(names).toEqual(["file10.txt"]);
  expect(await page.getByText(/^0 bytes of .* used$/).count()).toBe(0);
  await page.getByRole("button", { name: "Empty trash" }).click();
  await page.getByRole("dialog", { name: "Empty the trash?" }).getByRole("button", { name: "Empty trash" }).click();
  await page.getByRole("heading", { name: "The trash is empty" }).waitFor();
  await page.getByText(/^0 bytes of .* used$/).waitFor(); // a job of the server has freed the space
});

test("long trash has few elements, is read to its end, and is where the address of its folder leads", async ({
  page,
}) => {
  const account = await Account.create();
  const folder = await account.createFolder("Old");
  const make = (number: number) => account.call<RemoteFile>("POST", "/v1/folders", { name: `item ${number}` });
  for (const item of await Promise.all(Array.from({ length: 60 }, (_, number) => make(number))))
    await trash(account, item);
  await trash(account, folder);
  await signIn(page, account, `/files/${folder.id}`);
  await page.getByText("This folder is in the trash").waitFor();
  await page.getByRole("link", { name: "Open the trash" }).click();
  await page.getByRole("button", { name: "Restore Old" }).waitFor();
  const items = page.getByRole("list", { name: "Trash" }).getByRole("listitem");
  expect(await items.count()).toBeLessThan(40);
  expect(await items.first().getAttribute("aria-setsize")).toBe("61");
  await page.mouse.move(700, 500);
  await page.mouse.wheel(0, 10_000);
  await page.getByRole("button", { name: "Restore item 0", exact: true }).click();
  await page.getByText("“item 0” is restored").waitFor();
});

test("file whose folder is gone is restored to the top folder after a question", async ({ page }) => {
  const account = await Account.create();
  const folder = await account.createFolder("Old");
  const file = await account.upload("keep.txt", Buffer.from("keep"), folder);
  await trash(account, file);
  await trash(account, folder);
  await signIn(page, account, "/trash");
  await page.getByRole("button", { name: "Restore keep.txt" }).click();
  await page
    .getByRole("dialog", { name: "The folder of “keep.txt” is gone" })
    .getByRole("button", { name: "Restore to Files" })
    .click();
  await page.getByText("“keep.txt” is restored").waitFor();
  expect(await namesOf(account)).toEqual(["keep.txt"]);
});

test("older version of a file is restored, and restoring is undone", async ({ page }) => {
  const account = await Account.create();
  const file = await account.upload("essay.txt", Buffer.from("first"));
  const second = await replace(account, file, "second");
  await signIn(page, account, `/files?versions=${file.id}`);
  const dialog = page.getByRole("dialog", { name: "Versions of “essay.txt”" });
  await dialog.getByRole("button", { name: /^Restore the version of/ }).waitFor();
  await dialog.getByRole("button", { name: /^Restore the version of/ }).click();
  await page.getByText(/^The version of .+ is current again$/).waitFor();
  expect(await fingerprintOf(account, file)).toBe(file.fingerprint);
  await page.getByRole("button", { name: "Undo" }).click();
  await page.getByText("Undone").waitFor();
  expect(await fingerprintOf(account, file)).toBe(second.fingerprint);
});

test("upload beyond the quota says what to do, and arrives by Retry when there is space", async ({ page }) => {
  const account = await Account.create();
  await setQuota(account, 1_000_000);
  await signIn(page, account, "/files");
  await page.getByRole("button", { name: "Upload", exact: true }).waitFor();
  await page.setInputFiles("[data-testid=upload-files]", {
    name: "new.bin",
    mimeType: "application/octet-stream",
    buffer: Buffer.alloc(2_000_000, 2),
  });
  const tray = page.getByRole("region", { name: "Uploads", exact: true });
  await tray.getByText("Not enough space. Delete files or empty the trash, then retry.").waitFor();
  await setQuota(account, 4_000_000);
  await tray.getByRole("button", { name: "Retry new.bin" }).click();
  await tray.getByText("1 upload complete").waitFor();
  expect(await namesOf(account)).toEqual(["new.bin"]);
});

test("pages of activity and storage tell what happened and what takes space", async ({ page }) => {
  const account = await Account.create();
  const file = await account.upload("photo.jpg", Buffer.alloc(12_000_000, 1));
  await trash(account, await account.upload("old.txt", Buffer.from("old")));
  await account.createFolder("Holidays");
  await signIn(page, account, "/activity");
  await page.getByText("You moved “old.txt” to the trash").waitFor();
  await page.getByText("You added “Holidays”").waitFor();
  await page.getByLabel("Show").selectOption("Moved to the trash");
  await page.getByText("You added “Holidays”").waitFor({ state: "detached" });
  await page.goto(new URL("/storage", page.url()).href);
  await page.getByRole("link", { name: file.name }).waitFor();
});

async function trash(account: Account, { id }: RemoteFile): Promise<void> {
  await account.call("DELETE", `/v1/files/${id}`);
}

async function namesOf(account: Account): Promise<string[]> {
  return (await account.list()).map(({ name }) => name).sort();
}

async function replace(account: Account, { id }: RemoteFile, text: string): Promise<RemoteFile> {
  return account.putContent(id, Buffer.from(text));
}

async function fingerprintOf(account: Account, { id }: RemoteFile): Promise<string | null> {
  return (await account.call<RemoteFile>("GET", `/v1/files/${id}`)).fingerprint;
}
