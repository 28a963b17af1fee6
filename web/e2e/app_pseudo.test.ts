// The app in a language for tests, whose texts are longer and run from right to left: all fits on the screen, and all texts
// are from the catalogue.

import { expect } from "vitest";
import { test as base } from "./support/app.ts";
import { findBareTexts, findOverflow } from "./support/layout.ts";
import { NAMES, PSEUDO, takeTour } from "./support/tour.ts";

const test = base.extend({ options: PSEUDO });

test("pages and dialogs fit on the screen from right to left, and say nothing but the catalogue", async ({ page }) => {
  const check = async () => [...(await findOverflow(page)), ...(await findBareTexts(page, NAMES))];
  expect(await takeTour(page, "one", check)).toEqual([]);
  expect(await page.evaluate(() => document.dir)).toBe("rtl");
});
