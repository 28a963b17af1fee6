// What is done with a page, and observed of it.

import type { Page } from "playwright-core";

/** Observe the tasks of the page's main thread; the result returns the longest one in milliseconds, 0 below 50 ms. */
export async function watchTasks(page: Page): Promise<() => Promise<number>> {
  const observer = await page.evaluateHandle(() => {
    const durations = [0];
    const add = (entries: PerformanceEntryList) => durations.push(...entries.map(({ duration }) => duration));
    const observer = new PerformanceObserver((list) => add(list.getEntries()));
    observer.observe({ type: "longtask" });
    return {
      read: async () => {
        await new Promise((resolve) => setTimeout(resolve, 200)); // Chromium reports a task after its end
        add(observer.takeRecords());
        return Math.max(...durations);
      },
    };
  });
  return () => observer.evaluate(({ read }) => read());
}

/** Drop files and folders of this machine; return when they were dropped, in seconds of the clock of Python's `time.monotonic`. */
export async function dropFiles(page: Page, files: string[], x: number, y: number): Promise<number> {
  const devtools = await page.context().newCDPSession(page);
  const data = { items: [], files, dragOperationsMask: 1 };
  await devtools.send("Input.dispatchDragEvent", { type: "dragEnter", x, y, data });
  await devtools.send("Input.dispatchDragEvent", { type: "dragOver", x, y, data });
  const droppedS = Number(process.hrtime.bigint()) / 1e9;
  await devtools.send("Input.dispatchDragEvent", { type: "drop", x, y, data });
  return droppedS;
}
