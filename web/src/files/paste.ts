import type { RemoteFile } from "dropbox-api-client";
import { t } from "../lib/i18n.ts";
import { notifyDone } from "../lib/notify.tsx";
import { copyFiles, moveFiles } from "./changes.tsx";
import { type Clipboard, getClipboard, setClipboard } from "./clipboard.ts";

/** Cut or copy files. */
export function takeFiles(mode: Clipboard["mode"], files: readonly RemoteFile[]): void {
  const [first] = files;
  if (!first) return;
  setClipboard({ mode, files });
  notifyDone(t(`files.clipboard.${mode}`, { count: files.length, name: first.name }));
}

/** Move what was cut, or copy what was copied, to a folder. */
export async function pasteInto(folder: RemoteFile): Promise<void> {
  const clipboard = getClipboard();
  if (!clipboard) return;
  if (clipboard.mode === "copy") return copyFiles(clipboard.files, folder);
  setClipboard(null);
  await moveFiles(clipboard.files, folder);
}
