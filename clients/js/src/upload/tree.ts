// Files and folders that a person drops or picks, with empty folders.

import { readHandle } from "./permissions.ts";

/** A file to upload, and the names of the folders on the way to it. */
export interface UploadSource {
  file: File;
  /** Lets a later visit of the page continue without picking the file again. */
  handle: FileSystemFileHandle | null;
  folders: readonly string[];
}

export interface UploadTree {
  files: UploadSource[];
  /** Folders without files in them or below them. */
  emptyFolders: (readonly string[])[];
}

/** Read the files of an `<input type="file">`, with or without `webkitdirectory`, which leaves out empty folders. */
export function readFiles(files: Iterable<File>): UploadTree {
  const sources = Array.from(files, (file) => {
    const folders = (file.webkitRelativePath ?? "").split("/").slice(0, -1);
    return { file, handle: null, folders };
  });
  return { files: sources, emptyFolders: [] };
}

/** Read what was dropped. Call it in the event itself: afterwards the browser empties the `DataTransfer`. */
export async function readDrop(transfer: DataTransfer): Promise<UploadTree> {
  const items = [...transfer.items].filter(({ kind }) => kind === "file");
  // All of them before the first await.
  const entries = items.map((item) => item.webkitGetAsEntry());
  const handles = items.map(readHandle);
  const files = items.map((item) => item.getAsFile());
  const tree: UploadTree = { files: [], emptyFolders: [] };
  for (const [index, entry] of entries.entries()) {
    const handle = ((await handles[index]) ?? null) as Handle | null;
    const file = files[index];
    if (entry) await walk(tree, entry, handle, []);
    else if (file) tree.files.push({ file, handle: null, folders: [] }); // a pasted picture is no file of a disk
  }
  return tree;
}

/** Read files of `showOpenFilePicker()`. */
export async function readHandles(handles: Iterable<FileSystemFileHandle>): Promise<UploadTree> {
  const tree: UploadTree = { files: [], emptyFolders: [] };
  for (const handle of handles) tree.files.push({ file: await handle.getFile(), handle, folders: [] });
  return tree;
}

type Handle = FileSystemFileHandle | FileSystemDirectoryHandle;

/**
 * Add what an entry holds, with the handles that there are for it.
 *
 * Entries alone tell what exists: the handle of a folder leaves out names that Chromium lets no page write, such as
 * `shortcut.lnk`, `why?.txt`, and some emoji.
 */
async function walk(
  tree: UploadTree,
  entry: FileSystemEntry,
  handle: Handle | null,
  folders: readonly string[],
): Promise<void> {
  if (entry.isFile) {
    const own = handle?.kind === "file" ? handle : null;
    const read = () => new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject));
    tree.files.push({ file: await (own ? own.getFile() : read()), handle: own, folders });
    return;
  }
  const path = [...folders, entry.name];
  const before = countOf(tree);
  const handles = new Map<string, Handle>();
  if (handle?.kind === "directory") {
    for await (const child of handle.values()) handles.set(child.name, child as Handle);
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  const read = () => new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
  // A reader answers at most 100 entries at a time, none at the end.
  for (let some = await read(); some.length; some = await read()) {
    for (const child of some) await walk(tree, child, handles.get(child.name) ?? null, path);
  }
  if (countOf(tree) === before) tree.emptyFolders.push(path);
}

function countOf({ files, emptyFolders }: UploadTree): number {
  return files.length + emptyFolders.length;
}
