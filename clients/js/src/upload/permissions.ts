// Members of the File System API that Chromium has, and the types of TypeScript lack.

interface Permissions {
  queryPermission?(descriptor: { mode: "read" }): Promise<PermissionState>;
  requestPermission?(descriptor: { mode: "read" }): Promise<PermissionState>;
}

interface HandleItem {
  getAsFileSystemHandle?(): Promise<FileSystemHandle | null>;
}

/** Whether the page may read a file of an earlier visit. */
export async function queryPermission(handle: FileSystemFileHandle): Promise<PermissionState> {
  return (await (handle as Permissions).queryPermission?.({ mode: "read" })) ?? "granted";
}

/** Ask the person; the browser refuses to without a click. */
export async function requestPermission(handle: FileSystemFileHandle): Promise<PermissionState> {
  const request = (handle as Permissions).requestPermission?.({ mode: "read" });
  return (await request?.catch(() => "prompt" as const)) ?? "granted";
}

/** Return the handle of a dropped item, null in a browser without. Call it in the event itself. */
export async function readHandle(item: DataTransferItem): Promise<FileSystemHandle | null> {
  return (await (item as HandleItem).getAsFileSystemHandle?.().catch(() => null)) ?? null;
}
