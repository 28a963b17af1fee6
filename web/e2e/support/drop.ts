// Drag and drop from this machine onto a page.

import type { Page } from "playwright-core";

/**
 * Drop files and folders; return when, in seconds of the clock of Python's `time.monotonic`.
 *
 * Chromium drops nothing where the element under the pointer has just changed: a person drags on, and so does this.
 */
export async function dropFiles(page: Page, files: string[], x: number, y: number): Promise<number> {
  const devtools = await page.context().newCDPSession(page);
  const data = { items: [], files, dragOperationsMask: 1 };
  const drag = (type: "dragEnter" | "dragOver" | "drop") =>
    devtools.send("Input.dispatchDragEvent", { type, x, y, data });
  const seen = await page.evaluateHandle(() => {
    const seen = { drop: false };
    document.addEventListener("drop", () => (seen.drop = true), { capture: true, once: true });
    return seen;
  });
  let droppedS: number;
  do {
    for (const type of ["dragEnter", "dragOver", "dragOver"] as const) await drag(type);
    droppedS = Number(process.hrtime.bigint()) / 1e9;
    await drag("drop");
  } while (!(await seen.evaluate(({ drop }) => drop)));
  return droppedS;
}
