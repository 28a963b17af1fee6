import type { RemoteFile } from "dropbox-api-client";
import { t } from "../lib/i18n.ts";

/** What a row of the list and a card of the grid show. The list handles their events, by `data-id`. */
export interface FileEntryProps {
  file: RemoteFile;
  isSelected: boolean;
  isFocusable: boolean;
  isCut: boolean;
  isDropTarget: boolean;
  isRenaming: boolean;
  onRenamed: () => void;
  /** Whether to name the folder, as lists of several folders do. */
  showsFolder: boolean;
  isPhone: boolean;
  rowIndex: number;
}

/** The names of the folders above a file. */
export function folderOf({ path, role }: Pick<RemoteFile, "path" | "role">): string {
  const top = t(role === "owner" ? "files.root" : "files.sharedWithMe");
  return path.slice(0, path.lastIndexOf("/")) || top;
}
