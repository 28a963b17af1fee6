// Dragging entries of a list, and dropping on the list or on its folders.

import type { RemoteFile } from "dropbox-api-client";
import { type DragEvent, useEffect, useRef, useState } from "react";
import {
  checkDrop,
  type DropCheck,
  endDrag,
  isFileDrag,
  isUploadDrag,
  refuseUpload,
  startDrag,
  takeDrop,
} from "./drag.ts";
import { isSelected, type Selection, selectOnly } from "./selection.ts";

interface DropsOptions {
  folder: RemoteFile | null;
  files: readonly RemoteFile[];
  selection: Selection;
  selected: readonly RemoteFile[];
  setSelection: (selection: Selection) => void;
}

interface Over {
  folderId: string | null;
  hint: DropCheck;
}

/** The pointer leaves one element and enters the next: only a pause between means that it has left the list. */
const LEFT_MS = 100;

export function useDrops({ folder, files, selection, selected, setSelection }: DropsOptions) {
  const [over, setOver] = useState<Over | null>(null);
  const leaving = useRef(0);
  useEffect(() => () => clearTimeout(leaving.current), []);

  /** Return the folder under the pointer, or the one that is shown. */
  const findTarget = (event: DragEvent): RemoteFile | null => {
    const id = (event.target as HTMLElement).closest<HTMLElement>("[data-id]")?.dataset.id;
    const entry = id === undefined ? undefined : files.find((file) => file.id === id);
    if (entry?.kind === "folder" && !(isSelected(selection, entry.id) && !isUploadDrag(event.dataTransfer)))
      return entry;
    return folder;
  };

  const handlers = {
    onDragStart: (event: DragEvent) => {
      const id = (event.target as HTMLElement).closest<HTMLElement>("[data-id]")?.dataset.id;
      const file = files.find((other) => other.id === id);
      if (!file) return;
      const isOfSelection = isSelected(selection, file.id);
      if (!isOfSelection) setSelection(selectOnly(file.id));
      startDrag(event.dataTransfer, isOfSelection ? selected : [file]);
    },
    onDragEnd: () => {
      endDrag();
      setOver(null);
    },
    onDragOver: (event: DragEvent) => {
      if (!isFileDrag(event.dataTransfer)) return;
      event.preventDefault(); // else a drop would leave the page
      clearTimeout(leaving.current);
      const target = findTarget(event);
      const hint = target ? checkDrop(event.dataTransfer, target) : refuseUpload(event.dataTransfer);
      event.dataTransfer.dropEffect = !hint?.isAllowed ? "none" : isUploadDrag(event.dataTransfer) ? "copy" : "move";
      const folderId = target && target.id !== folder?.id ? target.id : null;
      const isSame = over?.folderId === folderId && over?.hint.text === hint?.text;
      if (!isSame) setOver(hint ? { folderId, hint } : null);
    },
    onDragLeave: () => {
      clearTimeout(leaving.current);
      leaving.current = window.setTimeout(() => setOver(null), LEFT_MS);
    },
    onDrop: (event: DragEvent) => {
      if (!isFileDrag(event.dataTransfer)) return;
      event.preventDefault();
      clearTimeout(leaving.current);
      setOver(null);
      const target = findTarget(event);
      if (target) takeDrop(event.dataTransfer, target);
    },
  };

  return {
    handlers,
    hint: over?.hint ?? null,
    /** The folder in the list that a drop would go to. */
    folderId: over?.hint.isAllowed ? over.folderId : null,
    isOverList: over !== null && over.folderId === null && over.hint.isAllowed,
  };
}
