// The web app in a browser: signed in, and checked by axe.

import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import type { Page } from "playwright-core";
import { expect } from "vitest";
import { type Account, server } from "./account.ts";

export { test } from "./test.ts";

/** Open a page of the app as the user of an account. */
export async function signIn(page: Page, { email, password }: Account, path = "/files"): Promise<void> {
  await page.goto(`${server}/sign-in`);
  await page.getByLabel("Email").fill(email);
  await page.getByLabel(/^Password/).fill(password);
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
  await page.waitForURL(/\/files/);
  if (path !== "/files") await page.goto(server + path);
}

/** As `expect.poll`, for a busy machine. */
export function poll<Value>(read: () => Value | Promise<Value>) {
  return expect.poll(read, { timeout: 60_000 });
}

interface AxeResult {
  violations: { id: string; nodes: { html: string; failureSummary: string }[] }[];
}

declare global {
  interface Window {
    axe?: { run: (options: object) => Promise<AxeResult> };
  }
}

/** The rules of WCAG 2.2 AA. */
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];
const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");

/** Let axe check what the page shows, in light and in dark. */
export async function expectNoViolations(page: Page): Promise<void> {
  if (!(await page.evaluate(() => window.axe !== undefined))) await page.evaluate(await readFile(AXE, "utf8"));
  for (const colorScheme of ["light", "dark"] as const) {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    const found = await page.evaluate(async (runOnly) => {
      const result = await window.axe?.run({ runOnly });
      return result?.violations.map(({ id, nodes }) => [
        id,
        ...nodes.map((node) => `${node.html} ${node.failureSummary}`),
      ]);
    }, RULES);
    expect(found, colorScheme).toEqual([]);
  }
  await page.emulateMedia({ colorScheme: "light" });
}
