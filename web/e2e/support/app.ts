// The web app in a browser: signed in, and checked by axe.

import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import type { Page } from "playwright-core";
import { expect } from "vitest";
import { lengthen } from "../../src/lib/pseudo.ts";
import { type Account, server } from "./account.ts";

export { test } from "./test.ts";

/**
 * Return what matches a text of the catalogue in English and in the pseudo-language. Names inside it stay as they are.
 */
export function say(text: string): RegExp {
  const letters = [...text].map((letter) => {
    const longer = lengthen(letter);
    return longer === letter ? letter.replace(/[^\w\s“”]/, "\\$&") : `(${letter}|${longer})`;
  });
  return new RegExp(`^\\[?${letters.join("")}\\]?$`);
}

/** Open a page of the app as the user of an account. */
export async function signIn(page: Page, { email, password }: Account, path = "/files"): Promise<void> {
  await page.goto(`${server}/sign-in`);
  await page.getByLabel(say("Email address")).fill(email);
  await page.getByLabel(say("Password")).fill(password);
  await page.getByRole("button", { name: say("Sign in") }).click();
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

export const SCHEMES = ["light", "dark"] as const;

/** The rules of WCAG 2.2 AA. */
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];
const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");

/** Show a colour scheme, and wait until the page has it. Pages without the app follow the browser at once. */
export async function showScheme(page: Page, colorScheme: (typeof SCHEMES)[number]): Promise<void> {
  await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
  await page.waitForFunction((scheme) => {
    const { mantineColorScheme: shown = scheme } = document.documentElement.dataset;
    return shown === scheme;
  }, colorScheme);
}

/** Return what axe finds in what the page shows: the rule, the element, and what to do. */
export async function findViolations(page: Page): Promise<string[]> {
  if (!(await page.evaluate(() => window.axe !== undefined))) await page.evaluate(await readFile(AXE, "utf8"));
  return page.evaluate(async (runOnly) => {
    const result = await window.axe?.run({ runOnly, resultTypes: ["violations"], preload: false });
    return (result?.violations ?? []).flatMap(({ id, nodes }) =>
      nodes.map(({ html, failureSummary }) => `${id}: ${html} ${failureSummary}`),
    );
  }, RULES);
}

/** Let axe check what the page shows, in light and in dark. */
export async function expectNoViolations(page: Page): Promise<void> {
  for (const scheme of SCHEMES) {
    await showScheme(page, scheme);
    expect(await findViolations(page), scheme).toEqual([]);
  }
  await showScheme(page, "light");
}
