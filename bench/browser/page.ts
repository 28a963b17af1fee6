// What is observed of a page.

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
