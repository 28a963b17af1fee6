// Dragging: files of the app to another folder, and files of the computer into the app.

import type { RemoteFile } from "dropbox-api-client";
import { t } from "../lib/i18n.ts";
import { uploadDrop } from "../uploads/uploader.ts";
import { moveFiles } from "./changes.tsx";
import classes from "./files.module.css";

/** Tells drags of the app from others; the browser hides the data until the drop. */
const TYPE = "application/x-dropbox-api-files";
let dragged: readonly RemoteFile[] = [];

export interface DropCheck {
  /** What a drop would do, or why it is refused. */
  text: string;
  isAllowed: boolean;
}

export function startDrag(transfer: DataTransfer, files: readonly RemoteFile[]): void {
  dragged = files;
  transfer.setData(TYPE, "");
  transfer.effectAllowed = "move";
  const image = document.createElement("div");
  image.className = classes.dragImage ?? "";
  image.textContent = files.length === 1 ? (files[0]?.name ?? "") : t("files.items", { count: files.length });
  document.body.append(image);
  transfer.setDragImage(image, -8, -8);
  setTimeout(() => image.remove());
}

export function endDrag(): void {
  dragged = [];
}

export function isFileDrag(transfer: DataTransfer): boolean {
  return transfer.types.includes("Files") || transfer.types.includes(TYPE);
}

export function isUploadDrag(transfer: DataTransfer): boolean {
  return transfer.types.includes("Files");
}

/** Tell what a drop on a folder would do; null where it is no business of the folder. */
export function checkDrop(transfer: DataTransfer, folder: RemoteFile): DropCheck | null {
  if (!isFileDrag(transfer)) return null;
  const name = folder.name || t("files.root");
  if (folder.role === "viewer") return { isAllowed: false, text: t("files.drop.viewer", { folder: name }) };
  if (isUploadDrag(transfer)) return { isAllowed: true, text: t("files.drop.upload", { folder: name }) };
  const count = dragged.length;
  if (dragged.some(({ id }) => id === folder.id)) return null;
  if (dragged.every(({ parent_id }) => parent_id === folder.id)) return null;
  if (dragged.some((file) => file.kind === "folder" && isBelow(folder, file))) {
    return { isAllowed: false, text: t("files.drop.intoItself") };
  }
  if (dragged.some(({ owner }) => owner !== folder.owner))
    return { isAllowed: false, text: t("files.drop.crossOwner") };
  if (dragged.some(({ role }) => role === "viewer")) return { isAllowed: false, text: t("files.drop.viewOnly") };
  return { isAllowed: true, text: t("files.drop.move", { count, folder: name }) };
}

/** Tell why a list of several folders takes no files of the computer. */
export function refuseUpload(transfer: DataTransfer): DropCheck | null {
  return isUploadDrag(transfer) ? { isAllowed: false, text: t("files.drop.nowhere") } : null;
}

/** Take what was dropped on a folder; call it in the event itself. */
export function takeDrop(transfer: DataTransfer, folder: RemoteFile): void {
  if (!checkDrop(transfer, folder)?.isAllowed) return;
  if (isUploadDrag(transfer)) void uploadDrop(transfer, folder);
  else void moveFiles(dragged, folder);
}

function isBelow(folder: RemoteFile, above: RemoteFile): boolean {
  return folder.owner === above.owner && `${folder.path}/`.startsWith(`${above.path}/`);
}
