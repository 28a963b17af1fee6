// Every page and dialog of the app in all sizes and colour schemes, in English and in the pseudo-language.

import { expect } from "vitest";
import { findViolations, test } from "./support/app.ts";
import { findBareTexts, findOverflow } from "./support/layout.ts";
import { NAMES, PSEUDO, takeTour } from "./support/tour.ts";

test("pages and dialogs have no violations and fit on the screen in all sizes and schemes", async ({ page }) => {
  const check = async () => [...(await findViolations(page)), ...(await findOverflow(page))];
  expect(await takeTour(page, "all", check)).toEqual([]);
});

test.extend({ options: PSEUDO })("pages and dialogs fit in another language in all sizes", async ({ page }) => {
  const check = async () => [...(await findOverflow(page)), ...(await findBareTexts(page, NAMES))];
  expect(await takeTour(page, "all", check)).toEqual([]);
});
