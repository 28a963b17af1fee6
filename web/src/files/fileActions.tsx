// The commands for files: the context menu, the toolbar and the keyboard run the same ones.

import type { RemoteFile } from "dropbox-api-client";
import {
  Clipboard,
  Copy,
  Download,
  Eye,
  FileDiff,
  FolderInput,
  FolderOpen,
  History,
  Info,
  type LucideIcon,
  Pencil,
  Scissors,
  Share2,
  Trash2,
} from "lucide-react";
import { t } from "../lib/i18n.ts";
import { rooms } from "../room.ts";
import { downloadFiles, trashFiles } from "./changes.tsx";
import { getClipboard } from "./clipboard.ts";
import { findConflict } from "./conflictNames.ts";
import { pasteInto, takeFiles } from "./paste.ts";

export interface Command {
  id:
    | "open"
    | "preview"
    | "download"
    | "share"
    | "rename"
    | "move"
    | "cut"
    | "copy"
    | "paste"
    | "versions"
    | "conflict"
    | "details"
    | "trash";
  label: string;
  icon: LucideIcon;
  shortcut?: string;
  isDestructive?: boolean;
  run: () => unknown;
}

export interface CommandContext {
  /** What the commands act on: the loaded part of the selection. */
  files: readonly RemoteFile[];
  /** Reads the rest of the selection. */
  readFiles: () => Promise<readonly RemoteFile[]>;
  /** The folder that is shown. */
  folder: RemoteFile | null;
  open: (file: RemoteFile) => void;
  openDialog: (name: "share" | "versions" | "details", file: RemoteFile) => void;
  rename?: (file: RemoteFile) => void;
  move: (files: readonly RemoteFile[]) => void;
}

/** Whether a room has a dialog of this name. */
export function hasDialog(name: string): boolean {
  return rooms.some(({ dialogs = {} }) => name in dialogs);
}

/** Return the commands that the person may run on the files; those of the folder without any. */
export function listCommands(context: CommandContext): Command[] {
  const { files, readFiles, folder, rename } = context;
  const [first] = files;
  const canPaste = getClipboard() !== null && folder !== null && folder.role !== "viewer";
  const paste: Command = {
    id: "paste",
    label: t("files.paste"),
    icon: Clipboard,
    shortcut: "Ctrl+V",
    run: () => folder && pasteInto(folder),
  };
  if (!first) return canPaste ? [paste] : [];
  const single = files.length === 1 ? first : null;
  const canChange = files.every(({ role }) => role !== "viewer");
  const isInside = files.every(({ parent_id }) => parent_id !== null); // not the top of what another person shared
  const commands: (Command | false)[] = [
    single !== null && {
      id: single.kind === "folder" ? "open" : "preview",
      label: single.kind === "folder" ? t("files.open") : t("files.preview"),
      icon: single.kind === "folder" ? FolderOpen : Eye,
      shortcut: "Enter",
      run: () => context.open(single),
    },
    {
      id: "download",
      label: t("files.download"),
      icon: Download,
      run: async () => downloadFiles(await readFiles()),
    },
    single?.role === "owner" &&
      hasDialog("share") && {
        id: "share",
        label: t("files.share"),
        icon: Share2,
        run: () => context.openDialog("share", single),
      },
    single !== null &&
      canChange &&
      isInside &&
      rename !== undefined && {
        id: "rename",
        label: t("files.rename"),
        icon: Pencil,
        shortcut: "F2",
        run: () => rename(single),
      },
    canChange &&
      isInside && {
        id: "move",
        label: t("files.move"),
        icon: FolderInput,
        run: async () => context.move(await readFiles()),
      },
    canChange &&
      isInside && {
        id: "cut",
        label: t("files.cut"),
        icon: Scissors,
        shortcut: "Ctrl+X",
        run: async () => takeFiles("cut", await readFiles()),
      },
    {
      id: "copy",
      label: t("files.copy"),
      icon: Copy,
      shortcut: "Ctrl+C",
      run: async () => takeFiles("copy", await readFiles()),
    },
    canPaste && paste,
    single?.kind === "file" &&
      hasDialog("versions") && {
        id: "versions",
        label: t("files.versions"),
        icon: History,
        run: () => context.openDialog("versions", single),
      },
    single !== null &&
      findConflict(single) !== null && {
        id: "conflict",
        label: t("conflictCopy.resolve"),
        icon: FileDiff,
        run: () => context.openDialog("details", single),
      },
    single !== null && {
      id: "details",
      label: t("files.details"),
      icon: Info,
      run: () => context.openDialog("details", single),
    },
    canChange &&
      isInside && {
        id: "trash",
        label: t("files.trash"),
        icon: Trash2,
        shortcut: "Delete",
        isDestructive: true,
        run: async () => trashFiles(await readFiles()),
      },
  ];
  return commands.filter((command) => command !== false);
}
