// The main journeys without a mouse: everything is reached by Tab and the arrows, and the focus is seen.

import type { Locator, Page } from "playwright-core";
import { expect } from "vitest";
import { Account, server } from "./support/account.ts";
import { poll, signIn, test } from "./support/app.ts";

const bytes = (text: string) => Buffer.from(text) as Buffer<ArrayBuffer>;
const row = (page: Page, name: string) => page.getByRole("row", { name, exact: true });
const button = (page: Page, name: string) => page.getByRole("button", { name, exact: true });

const hasFocus = async (locator: Locator) =>
  (await locator.count()) > 0 && locator.first().evaluate((element) => element === document.activeElement);

/** Press a key until an element has the focus, and check that a person sees where the focus is. */
async function reach(page: Page, locator: Locator, key = "Tab"): Promise<void> {
  await locator.first().waitFor();
  for (let presses = 0; !(await hasFocus(locator)); presses++) {
    if (presses > 60) throw new Error(`${locator} is not reached by ${key}`);
    await page.keyboard.press(key);
    // The list moves the focus when it has drawn the entry.
    await page.evaluate(() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn))));
  }
  await expectVisibleFocus(page);
}

/** The element with the focus has an outline, and nothing covers it. */
async function expectVisibleFocus(page: Page): Promise<void> {
  const seen = await page.evaluate(() => {
    const element = document.activeElement;
    if (element === null || element === document.body) return "nothing has the focus";
    const { left, top, width, height } = element.getBoundingClientRect();
    const above = document.elementFromPoint(left + width / 2, top + height / 2);
    const { outlineStyle, outlineWidth } = getComputedStyle(element);
    if (outlineStyle === "none" || Number.parseFloat(outlineWidth) < 2) return `no outline: ${element.outerHTML}`;
    if (above === null || !(element.contains(above) || above.contains(element))) return `covered: ${element.outerHTML}`;
    return "seen";
  });
  expect(seen).toBe("seen");
}

/** Open a menu by a key, and run a command of it. */
async function runCommand(page: Page, key: string, command: string): Promise<void> {
  await page.keyboard.press(key);
  await page.locator("[role=menuitem]:focus").waitFor();
  await reach(page, page.getByRole("menuitem", { name: command }), "ArrowDown");
  await page.keyboard.press("Enter");
}

test("account is used by the keyboard alone", async ({ page, context }) => {
  const account = await Account.create();
  context.setDefaultTimeout(30_000);
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  await page.goto(`${server}/sign-in`);
  await reach(page, page.getByLabel("Email address"));
  await page.keyboard.type(account.email);
  await reach(page, page.getByLabel("Password", { exact: true }));
  await page.keyboard.type(account.password);
  await page.keyboard.press("Enter");

  await page.getByText("This folder is empty").waitFor();
  await reach(page, page.getByRole("link", { name: "Skip to the content" }));
  await page.keyboard.press("Enter");
  await reach(page, button(page, "Upload")); // it opens a dialog of the system
  const files = ["a.txt", "b.txt"].map((name) => ({ name, mimeType: "text/plain", buffer: bytes(`text of ${name}`) }));
  await page.setInputFiles("[data-testid=upload-files]", files);
  await row(page, "b.txt").waitFor();
  await reach(page, button(page, "New"));
  await runCommand(page, "Enter", "New folder");
  await page.getByLabel("Name of the folder").waitFor();
  await page.keyboard.type("Box");
  await page.keyboard.press("Enter");
  await row(page, "Box").waitFor();

  await reach(page, row(page, "Box"));
  await reach(page, row(page, "a.txt"), "ArrowUp");
  await page.keyboard.press("F2");
  await page.getByLabel("New name of a.txt").waitFor();
  await page.keyboard.type("first");
  await page.keyboard.press("Enter");
  await row(page, "first.txt").waitFor();

  await reach(page, row(page, "first.txt"));
  await runCommand(page, "Shift+F10", "Move");
  const dialog = page.getByRole("dialog");
  await reach(page, dialog.getByRole("button", { name: "Box" }));
  await page.keyboard.press("Enter");
  await reach(page, dialog.getByRole("button", { name: "Move here" }));
  await page.keyboard.press("Enter");
  await row(page, "first.txt").waitFor({ state: "detached" });

  await reach(page, row(page, "b.txt"));
  await page.keyboard.press("Space");
  await page.keyboard.press("Delete");
  await row(page, "b.txt").waitFor({ state: "detached" });
  await poll(() => hasFocus(row(page, "Box"))).toBe(true);
  await reach(page, button(page, "Undo").last());
  await page.keyboard.press("Enter");
  await row(page, "b.txt").waitFor();

  await reach(page, row(page, "b.txt"));
  await runCommand(page, "Shift+F10", "Share");
  await reach(page, button(page, "Create a link"));
  await page.keyboard.press("Enter");
  await reach(page, button(page, "Create and copy link"));
  await page.keyboard.press("Enter");
  await page.getByText("Link created and copied").waitFor();
  await page.evaluate(() => navigator.clipboard.writeText(""));
  await reach(page, button(page, "Copy link"));
  await page.keyboard.press("Enter");
  await button(page, "Copied").waitFor();
  expect(await page.evaluate(() => navigator.clipboard.readText())).toMatch(/\/s\//);
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });

  await reach(page, row(page, "b.txt"));
  await reach(page, row(page, "Box"), "ArrowDown");
  await page.keyboard.press("Enter");
  await reach(page, row(page, "first.txt"));
  await page.keyboard.press("Enter");
  await page.getByRole("dialog", { name: "Preview of first.txt" }).getByText("text of a.txt").waitFor();
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });

  await reach(page, page.getByRole("button", { name: `your account: ${account.email}` }));
  await runCommand(page, "Enter", "Sign out");
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  await poll(() => hasFocus(page.getByLabel("Email address"))).toBe(true);
});

test("dialog that an address opens has the focus, and shows it from the first key on", async ({ page }) => {
  const account = await Account.create();
  const { id } = await account.createFolder("Trips");
  await signIn(page, account, `/files?details=${id}`);
  const dialog = page.getByRole("dialog", { name: "Details" });
  await dialog.getByText("Owner").waitFor();
  const isInside = () => dialog.evaluate((element) => element.contains(document.activeElement));
  await poll(isInside).toBe(true);
  expect(await page.evaluate(() => document.activeElement?.tagName)).not.toBe("BUTTON");
  await page.keyboard.press("Tab");
  await expectVisibleFocus(page);
  expect(await isInside()).toBe(true);
});

const onPhone = test.extend({ options: { viewport: { width: 390, height: 640 } } });

onPhone("focus stays in sight while uploads are shown", async ({ page }) => {
  const account = await Account.create();
  await signIn(page, account);
  const files = Array.from({ length: 12 }, (_, at) => {
    return { name: `${at + 10}.txt`, mimeType: "text/plain", buffer: bytes(`text ${at}`) };
  });
  await page.setInputFiles("[data-testid=upload-files]", files);
  await page.getByText("12 uploads complete").first().waitFor();
  await page.getByRole("button", { name: "Show the list of uploads" }).click();
  await row(page, "10.txt").focus();
  await reach(page, row(page, "21.txt"), "ArrowDown");
  const first = await page.evaluateHandle(() => document.activeElement);
  for (let isOver = false; !isOver; ) {
    await page.keyboard.press("Tab");
    // After the last element the browser itself has the focus.
    if (await page.evaluate(() => document.activeElement !== document.body)) await expectVisibleFocus(page);
    isOver = await first.evaluate((element) => element === document.activeElement);
  }
});
