// The file browser, as a person uses it.

import { createHash } from "node:crypto";
import type { Locator, Page } from "playwright-core";
import { expect } from "vitest";
import { Account, type RemoteFile } from "./support/account.ts";
import { poll, signIn, test } from "./support/app.ts";

const bytes = (text: string) => Buffer.from(text) as Buffer<ArrayBuffer>;

function row(page: Page, name: string): Locator {
  return page.getByRole("row", { name, exact: true });
}

/** The names that the list shows, from the top. */
function names(page: Page): Promise<string[]> {
  return page.locator("[role=row][data-id]").evaluateAll((rows) => rows.map((row) => row.ariaLabel ?? ""));
}

/** Click a row beside its name, which would open it. */
async function click(page: Page, name: string, modifiers: ("Shift" | "Control")[] = []): Promise<void> {
  const box = await row(page, name).boundingBox();
  if (!box) throw new Error(`${name} is not on the screen`);
  await row(page, name).click({ modifiers, position: { x: box.width - 120, y: box.height / 2 } });
}

async function openFolder(page: Page, account: Account, folder?: RemoteFile): Promise<void> {
  await signIn(page, account, folder ? `/files/${folder.id}` : "/files");
}

test("folder is listed in natural order, and opened with its name, Back and the path", async ({ page }) => {
  const account = await Account.create();
  const folder = await account.createFolder("Trips");
  for (const name of ["file10.txt", "file2.txt", "äpfel.txt", "Apfel.txt", "zebra.txt"]) {
    await account.upload(name, bytes(name), folder);
  }
  await openFolder(page, account);
  await page.getByRole("link", { name: "Trips", exact: true }).click();
  await row(page, "zebra.txt").waitFor();
  expect(await names(page)).toEqual(["Apfel.txt", "äpfel.txt", "file2.txt", "file10.txt", "zebra.txt"]);
  await page.getByRole("button", { name: "Name" }).click();
  await page.waitForFunction(() => document.querySelector("[role=row][data-id]")?.ariaLabel === "zebra.txt");
  expect((await names(page)).at(-1)).toBe("Apfel.txt");
  await page.getByRole("navigation", { name: "Path of the folder" }).getByRole("link", { name: "Files" }).click();
  await row(page, "Trips").waitFor();
  await page.goBack();
  await row(page, "zebra.txt").waitFor();
});

test("selection by Shift, Ctrl and the keyboard is deleted, and comes back by Undo and Ctrl+Z", async ({ page }) => {
  const account = await Account.create();
  for (let number = 1; number <= 6; number++) await account.upload(`note ${number}.txt`, bytes(`${number}`));
  await openFolder(page, account);
  await row(page, "note 6.txt").waitFor();

  await click(page, "note 2.txt");
  await click(page, "note 4.txt", ["Shift"]);
  await page.getByText("3 selected").first().waitFor();
  await click(page, "note 3.txt", ["Control"]);
  await page.getByText("2 selected").first().waitFor();
  await page.keyboard.press("Delete");
  await row(page, "note 2.txt").waitFor({ state: "detached" });
  await expect
    .poll(async () => (await account.list()).map(({ name }) => name))
    .toEqual(["note 1.txt", "note 3.txt", "note 5.txt", "note 6.txt"]);
  await page.getByRole("button", { name: "Undo" }).click();
  await row(page, "note 4.txt").waitFor();

  await click(page, "note 5.txt");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Shift+ArrowUp");
  await page.getByText("2 selected").first().waitFor();
  await page.keyboard.press("Delete");
  await row(page, "note 6.txt").waitFor({ state: "detached" });
  await page.getByText("2 items moved to the trash").waitFor();
  await page.keyboard.press("Control+z");
  await row(page, "note 6.txt").waitFor();
  expect(await account.list()).toHaveLength(6);
});

test("folder is made, renamed in place, and files move by dragging, by the dialog and by the clipboard", async ({
  page,
}) => {
  const account = await Account.create();
  for (const name of ["a.txt", "b.txt", "c.txt"]) await account.upload(name, bytes(name));
  await openFolder(page, account);
  await page.getByRole("button", { name: "New", exact: true }).click();
  await page.getByRole("menuitem", { name: "New folder" }).click();
  await page.getByLabel("Name of the folder").fill("Box");
  await page.keyboard.press("Enter");
  await row(page, "Box").waitFor();

  await click(page, "a.txt");
  await page.keyboard.press("F2");
  await page.getByLabel("New name of a.txt").fill("b.txt");
  await page.keyboard.press("Enter");
  await page.getByRole("alert").getByText("name").waitFor();
  await page.getByLabel("New name of a.txt").fill("first.txt");
  await page.keyboard.press("Enter");
  await poll(async () => (await names(page)).at(-1)).toBe("first.txt"); // the list is in order again

  await row(page, "first.txt").dragTo(row(page, "Box"));
  await row(page, "first.txt").waitFor({ state: "detached" });

  await click(page, "b.txt");
  await page.getByRole("button", { name: "Move", exact: true }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Box" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Move here" }).click();
  await row(page, "b.txt").waitFor({ state: "detached" });

  await click(page, "c.txt");
  await page.keyboard.press("Control+x");
  await page.getByRole("link", { name: "Box", exact: true }).click();
  await row(page, "b.txt").waitFor();
  await page.keyboard.press("Control+v");
  await row(page, "c.txt").waitFor();
  await poll(() => names(page)).toEqual(["b.txt", "c.txt", "first.txt"]);

  await row(page, "c.txt").dragTo(
    page.getByRole("navigation", { name: "Path of the folder" }).getByRole("link", { name: "Files" }),
  );
  await row(page, "c.txt").waitFor({ state: "detached" });
  await poll(async () => (await account.list()).map(({ name }) => name)).toEqual(["Box", "c.txt"]);
});

test("name that is taken at the destination is asked about once for all", async ({ page }) => {
  const account = await Account.create();
  const box = await account.createFolder("Box");
  for (const name of ["a.txt", "b.txt"]) {
    await account.upload(name, bytes(`old ${name}`), box);
    await account.upload(name, bytes(`new ${name}`));
  }
  await openFolder(page, account);
  await row(page, "b.txt").waitFor();
  await click(page, "a.txt");
  await click(page, "b.txt", ["Shift"]);
  await page.keyboard.press("Control+c");
  await page.getByRole("link", { name: "Box", exact: true }).click();
  await page.getByRole("navigation", { name: "Path of the folder" }).getByText("Box").waitFor();
  await page.keyboard.press("Control+v");
  await page.getByRole("dialog").getByRole("button", { name: "Keep both" }).click();
  await row(page, "b (1).txt").waitFor();
  expect(await names(page)).toEqual(["a (1).txt", "a.txt", "b (1).txt", "b.txt"]);
});

test("selection is downloaded as a zip, one file as itself", async ({ page }) => {
  const account = await Account.create();
  for (const name of ["a.txt", "b.txt"]) await account.upload(name, bytes(name));
  await openFolder(page, account);
  await row(page, "b.txt").waitFor();
  await click(page, "a.txt");
  const [file] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("button", { name: "Download" }).click(),
  ]);
  expect(file.suggestedFilename()).toBe("a.txt");
  await click(page, "b.txt");
  await page.keyboard.press("Control+a");
  await page.getByText("2 selected").first().waitFor();
  const [zip] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("button", { name: "Download" }).click(),
  ]);
  expect(zip.suggestedFilename()).toMatch(/\.zip$/);
});

test("conflict copies are found in all folders, and one takes the place of its original", async ({ page }) => {
  const account = await Account.create();
  const folder = await account.createFolder("Box");
  const mark = "(conflict copy of laptop 2026-11-30)";
  const original = await account.upload("plan.txt", bytes("old"), folder);
  await account.upload(`plan ${mark}.txt`, bytes("new"), folder);
  await account.upload(`alone ${mark}.txt`, bytes("alone"));
  await account.upload("copy of a (conflict.txt", bytes("other"));
  await openFolder(page, account);
  await page.getByRole("link", { name: "Conflict copies" }).click();
  await row(page, `plan ${mark}.txt`).getByText("Conflict copy", { exact: true }).waitFor();
  await poll(() => names(page)).toEqual([`alone ${mark}.txt`, `plan ${mark}.txt`]);

  await page.getByRole("link", { name: `plan ${mark}.txt` }).click();
  await page.getByRole("dialog").getByRole("link", { name: "Conflict copy" }).click();
  await page.getByText("The device laptop had changed plan.txt").waitFor();
  await page.getByRole("button", { name: "Open the original" }).click();
  await page.getByRole("dialog").getByText("old", { exact: true }).waitFor();
  await page.goBack();
  await page.getByRole("button", { name: "Replace the original by this copy" }).click();
  await row(page, `plan ${mark}.txt`).waitFor({ state: "detached" });
  await page.getByText("plan.txt has the content of the copy now").waitFor();
  expect((await account.list(folder)).map(({ id, size_bytes }) => [id, size_bytes])).toEqual([[original.id, 3]]);
  expect(await account.hashDownload(original)).toBe(createHash("sha256").update("new").digest("hex"));
  await page.getByRole("button", { name: "Undo" }).click();
  await row(page, `plan ${mark}.txt`).waitFor();
  await poll(() => account.hashDownload(original)).toBe(createHash("sha256").update("old").digest("hex"));

  await click(page, `alone ${mark}.txt`);
  await page.getByRole("button", { name: "More", exact: true }).click();
  await page.getByRole("menuitem", { name: "Resolve the conflict" }).click();
  await page.getByText("This folder has no alone.txt any more.").waitFor();
  await page.getByRole("button", { name: "Give it the name of the original" }).click();
  await page.getByText("Renamed to alone.txt").waitFor();
  await poll(() => names(page)).toEqual([`plan ${mark}.txt`]);
});

test("search finds names without their accents, and Recent shows the newest first", async ({ page }) => {
  const account = await Account.create();
  const folder = await account.createFolder("Küche");
  await account.upload("Crème brûlée.txt", bytes("recipe"), folder);
  await account.upload("bread.txt", bytes("bread"));
  await openFolder(page, account);
  await page.getByRole("searchbox").fill("creme brulee");
  await page.keyboard.press("Enter");
  await row(page, "Crème brûlée.txt").getByText("/Küche").waitFor();
  await page.getByRole("link", { name: "Recent" }).click();
  await row(page, "bread.txt").waitFor();
  expect(await names(page)).toEqual(["bread.txt", "Crème brûlée.txt"]);
});

const onPhone = test.extend({ options: { viewport: { width: 390, height: 800 }, hasTouch: true, isMobile: true } });

onPhone("phone: a tap opens, a long press selects, and the actions are at the bottom", async ({ page }) => {
  const account = await Account.create();
  const box = await account.createFolder("Box");
  await account.upload("a.txt", bytes("a"), box);
  await account.upload("b.txt", bytes("b"), box);
  await openFolder(page, account);
  await row(page, "Box").tap();
  await row(page, "a.txt").waitFor();
  const place = await row(page, "a.txt").boundingBox();
  const devtools = await page.context().newCDPSession(page);
  const touchPoints = [{ x: (place?.x ?? 0) + 150, y: (place?.y ?? 0) + 30 }];
  await devtools.send("Input.dispatchTouchEvent", { type: "touchStart", touchPoints });
  await page.getByText("1 selected").first().waitFor();
  await devtools.send("Input.dispatchTouchEvent", { type: "touchEnd", touchPoints: [] });
  await row(page, "b.txt").tap();
  await page.getByText("2 selected").first().waitFor();
  await page.getByRole("button", { name: "Delete" }).tap();
  await page.getByText("This folder is empty").waitFor();
});
