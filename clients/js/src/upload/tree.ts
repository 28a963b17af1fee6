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
    const handle = (await handles[index]) ?? null;
    const file = files[index];
    if (handle) await walkHandle(tree, handle as FileSystemFileHandle | FileSystemDirectoryHandle, []);
    else if (entry) await walkEntry(tree, entry, []);
    else if (file) tree.files.push({ file, handle: null, folders: [] }); // a pasted picture is no file of a disk
  }
  return tree;
}

/** Read a folder of `showDirectoryPicker()`. */
export async function readDirectory(directory: FileSystemDirectoryHandle): Promise<UploadTree> {
  const tree: UploadTree = { files: [], emptyFolders: [] };
  await walkHandle(tree, directory, []);
  return tree;
}

/** Read files of `showOpenFilePicker()`. */
export async function readHandles(handles: Iterable<FileSystemFileHandle>): Promise<UploadTree> {
  const tree: UploadTree = { files: [], emptyFolders: [] };
  for (const handle of handles) await walkHandle(tree, handle, []);
  return tree;
}

type Handle = FileSystemFileHandle | FileSystemDirectoryHandle;

async function walkHandle(tree: UploadTree, handle: Handle, folders: readonly string[]): Promise<void> {
  if (handle.kind === "file") {
    tree.files.push({ file: await handle.getFile(), handle, folders });
    return;
  }
  const path = [...folders, handle.name];
  const before = countOf(tree);
  for await (const child of handle.values()) await walkHandle(tree, child as Handle, path);
  if (countOf(tree) === before) tree.emptyFolders.push(path);
}

async function walkEntry(tree: UploadTree, entry: FileSystemEntry, folders: readonly string[]): Promise<void> {
  if (entry.isFile) {
    const file = await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject));
    tree.files.push({ file, handle: null, folders });
    return;
  }
  const path = [...folders, entry.name];
  const before = countOf(tree);
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  const read = () => new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
  // A reader answers at most 100 entries at a time, none at the end.
  for (let some = await read(); some.length; some = await read()) {
    for (const child of some) await walkEntry(tree, child, path);
  }
  if (countOf(tree) === before) tree.emptyFolders.push(path);
}

function countOf({ files, emptyFolders }: UploadTree): number {
  return files.length + emptyFolders.length;
}
