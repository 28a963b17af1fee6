// `dropbox-api-client/upload`: what the package exports for uploads.

export {
  type Conflict,
  createUploader,
  type Decision,
  type Destination,
  type Uploader,
  type UploaderOptions,
} from "./engine.ts";
export type { OnConflict } from "./job.ts";
export { type Failure, isEnded, isRunning, type Status, type UploadState } from "./machine.ts";
export type { UploadItem, UploadSnapshot } from "./snapshots.ts";
export type { Choice } from "./transfer.ts";
export { readDrop, readFiles, readHandles, type UploadSource, type UploadTree } from "./tree.ts";
