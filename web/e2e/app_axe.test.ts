// Every page and dialog of the app: axe finds nothing, and all fits on the screen. Each has one of the sizes and colour
// schemes; the long test takes all of them.

import { expect } from "vitest";
import { findViolations, test } from "./support/app.ts";
import { findOverflow } from "./support/layout.ts";
import { takeTour } from "./support/tour.ts";

test("pages and dialogs have no violations and fit on the screen", async ({ page }) => {
  const check = async () => [...(await findViolations(page)), ...(await findOverflow(page))];
  expect(await takeTour(page, "one", check)).toEqual([]);
});
