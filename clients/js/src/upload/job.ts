// What the page tells its worker about an upload.

/** What to do when the name is taken. */
export type OnConflict = "fail" | "rename" | "replace";

/** Where the worker sends files: to folders of the account whose token the page has, or through an upload link. */
export type Target = { kind: "account" } | { kind: "link"; token: string; secret: string };

export interface Job {
  /** Names the upload on this page, and at the server as `client_ref` of a link. */
  id: string;
  /** Reports carry it; see `machine`. */
  run: number;
  file: File;
  name: string;
  /** Names of the folders on the way to the file, below the destination. */
  folders: readonly string[];
  /** The destination folder; null for the root of the account, or the folder of the link. */
  parentId: string | null;
  onConflict: OnConflict;
  /** The session of an earlier visit or run, as far as the page knows one. */
  uploadId: string | null;
}
