// Whether the server has another build than this page: a part of the page that was not loaded yet is gone.

import { useSyncExternalStore } from "react";

let isOutdated = false;
const listeners = new Set<() => void>();

addEventListener("vite:preloadError", () => {
  isOutdated = navigator.onLine;
  for (const listener of listeners) listener();
});

/** Whether to offer a reload. The page never reloads by itself: it may be sending files. */
export function useOutdated(): boolean {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => isOutdated,
  );
}
