// Ctrl+C, Ctrl+X and Ctrl+V for files; files of the computer that are pasted are uploaded.

import type { RemoteFile } from "dropbox-api-client";
import { useEffect, useEffectEvent } from "react";
import { uploadDrop } from "../uploads/uploader.ts";
import { pasteInto } from "./paste.ts";

interface ClipboardEventsOptions {
  run: (command: string) => unknown;
  folder: RemoteFile | null;
  hasSelection: boolean;
}

export function useClipboardEvents({ run, folder, hasSelection }: ClipboardEventsOptions): void {
  const take = useEffectEvent((event: ClipboardEvent) => {
    if (isForText(event) || !hasSelection) return;
    event.preventDefault();
    // Replaces files of the computer that were copied before: the newest copy is pasted.
    event.clipboardData?.setData("text/plain", "");
    run(event.type);
  });
  const paste = useEffectEvent((event: ClipboardEvent) => {
    if (isForText(event) || !folder || folder.role === "viewer") return;
    event.preventDefault();
    if (event.clipboardData?.files.length) void uploadDrop(event.clipboardData, folder);
    else void pasteInto(folder);
  });
  useEffect(() => {
    const onTake = (event: ClipboardEvent) => take(event);
    const onPaste = (event: ClipboardEvent) => paste(event);
    document.addEventListener("copy", onTake);
    document.addEventListener("cut", onTake);
    document.addEventListener("paste", onPaste);
    return () => {
      document.removeEventListener("copy", onTake);
      document.removeEventListener("cut", onTake);
      document.removeEventListener("paste", onPaste);
    };
  }, []);
}

/** Whether the person edits or has selected text, or a dialog is open. */
function isForText(event: ClipboardEvent): boolean {
  const target = event.target;
  if (!(target instanceof Element)) return false;
  const isField = target.closest("input:not([type=checkbox]), textarea, [contenteditable]") !== null;
  return isField || document.getSelection()?.isCollapsed === false || document.querySelector("[role=dialog]") !== null;
}
