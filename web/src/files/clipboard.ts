// What was cut or copied in the app, and what is being dragged: both outlive the page that shows the files.

import type { RemoteFile } from "dropbox-api-client";
import { useSyncExternalStore } from "react";

export interface Clipboard {
  mode: "cut" | "copy";
  files: readonly RemoteFile[];
}

const listeners = new Set<() => void>();
let clipboard: Clipboard | null = null;

export function setClipboard(next: Clipboard | null): void {
  clipboard = next;
  for (const listener of listeners) listener();
}

export const getClipboard = (): Clipboard | null => clipboard;

export function useClipboard(): Clipboard | null {
  return useSyncExternalStore(subscribe, getClipboard);
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}
