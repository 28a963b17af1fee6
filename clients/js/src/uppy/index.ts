// `dropbox-api-client/uppy`: an uploader of Uppy on the engine. Dashboard and other plugins work with it unchanged.

import { BasePlugin, type Body, type Meta, type PluginOpts, type Uppy, type UppyFile } from "@uppy/core";
import type { Uploader } from "../upload/engine.ts";
import { isEnded } from "../upload/machine.ts";
import type { UploadItem } from "../upload/snapshots.ts";

export interface DropboxApiOptions extends PluginOpts {
  uploader: Uploader;
  /** The folder for the files; without it, the root of the account or the folder of the link. */
  parentId?: string | null;
}

/** `uppy.use(DropboxApi, { uploader })`. The id of the file in the account is `response.body.fileId`. */
export default class DropboxApi<M extends Meta, B extends Body> extends BasePlugin<DropboxApiOptions, M, B> {
  /** Id of the upload by id of Uppy's file. */
  private readonly uploads = new Map<string, string>();
  private readonly shown = new Map<string, UploadItem>();
  private unsubscribe: () => void = () => undefined;

  constructor(uppy: Uppy<M, B>, options: DropboxApiOptions) {
    super(uppy, options);
    this.type = "uploader";
    this.id = options.id ?? "DropboxApi";
  }

  override install(): void {
    const { capabilities } = this.uppy.getState();
    this.uppy.setState({ capabilities: { ...capabilities, resumableUploads: true, individualCancellation: true } });
    this.uppy.addUploader(this.upload);
    this.uppy.on("upload-pause", this.pause);
    this.uppy.on("pause-all", this.pauseAll);
    this.uppy.on("resume-all", this.resumeAll);
    this.uppy.on("file-removed", this.cancel);
    this.unsubscribe = this.opts.uploader.subscribe(this.show);
  }

  override uninstall(): void {
    this.unsubscribe();
    this.uppy.removeUploader(this.upload);
    this.uppy.off("upload-pause", this.pause);
    this.uppy.off("pause-all", this.pauseAll);
    this.uppy.off("resume-all", this.resumeAll);
    this.uppy.off("file-removed", this.cancel);
  }

  /** Upload new files, try failed ones again, and resolve when all have ended. */
  private readonly upload = async (fileIds: string[]): Promise<void> => {
    const { uploader, parentId = null } = this.opts;
    const files = this.uppy.getFilesByIds(fileIds);
    this.uppy.emit("upload-start", files);
    for (const { id } of files) {
      const known = this.uploads.get(id);
      if (known) uploader.retry(known);
    }
    const added = files.filter(({ id }) => !this.uploads.has(id));
    const sources = added.map((file) => ({ file: toFile(file), handle: null, folders: readFolders(file) }));
    const ids = await uploader.add({ files: sources, emptyFolders: [] }, { parentId });
    for (const [index, file] of added.entries()) {
      this.uploads.set(file.id, ids[index] ?? "");
      if (!this.uppy.getFile(file.id)) this.cancel(file); // removed meanwhile
    }
    await this.waitFor(fileIds);
  };

  private waitFor(fileIds: readonly string[]): Promise<void> {
    return new Promise((resolve) => {
      const check = () => {
        const items = new Map(this.opts.uploader.getSnapshot().items.map((item) => [item.id, item]));
        const isOver = (id: string) => {
          const item = items.get(this.uploads.get(id) ?? "");
          return !this.uppy.getFile(id) || (item !== undefined && isEnded(item));
        };
        if (!fileIds.every(isOver)) return;
        unsubscribe();
        resolve();
      };
      const unsubscribe = this.opts.uploader.subscribe(check);
      check();
    });
  }

  /** Tell Uppy what has changed. */
  private readonly show = (): void => {
    const items = new Map(this.opts.uploader.getSnapshot().items.map((item) => [item.id, item]));
    for (const [fileId, id] of this.uploads) {
      const item = items.get(id);
      const file = this.uppy.getFile(fileId);
      if (!item || !file || this.shown.get(id) === item) continue;
      this.shown.set(id, item);
      this.tell(file, item);
    }
  };

  private tell(file: UppyFile<M, B>, { status, sentBytes, sizeBytes, failure, fileId }: UploadItem): void {
    if (status === "done") {
      const body = { fileId } as unknown as B;
      this.uppy.emit("upload-success", file, { status: 200, body });
    } else if (status === "failed" && failure) {
      this.uppy.emit("upload-error", file, { name: failure.code, message: failure.detail });
    } else if (status === "skipped") {
      this.uppy.removeFile(file.id);
    } else if (status === "sending") {
      const uploadStarted = file.progress.uploadStarted ?? Date.now();
      this.uppy.emit("upload-progress", file, { uploadStarted, bytesUploaded: sentBytes, bytesTotal: sizeBytes });
    }
  }

  private readonly pause = (file: UppyFile<M, B> | undefined, isPaused: boolean): void => {
    const id = file && this.uploads.get(file.id);
    if (!id) return;
    if (isPaused) this.opts.uploader.pause(id);
    else this.opts.uploader.resume(id);
  };

  private readonly pauseAll = (): void => {
    for (const id of this.uploads.values()) this.opts.uploader.pause(id);
  };

  private readonly resumeAll = (): void => {
    for (const id of this.uploads.values()) this.opts.uploader.resume(id);
  };

  private readonly cancel = ({ id }: UppyFile<M, B>): void => {
    const upload = this.uploads.get(id);
    if (upload) this.opts.uploader.cancel(upload);
    this.uploads.delete(id);
  };
}

function toFile<M extends Meta, B extends Body>(file: UppyFile<M, B>): File {
  const { data, meta } = file;
  const name = meta.name || file.name || "file";
  if (data instanceof File && data.name === name) return data;
  if (!(data instanceof Blob)) throw new Error(`${name} is on another service: this uploader sends local files`);
  return new File([data], name, { lastModified: data instanceof File ? data.lastModified : Date.now() });
}

function readFolders<M extends Meta, B extends Body>({ meta, data }: UppyFile<M, B>): string[] {
  const ofData = data instanceof File ? data.webkitRelativePath : "";
  const path = (meta["relativePath"] as string | null | undefined) || ofData || "";
  return path.split("/").slice(0, -1).filter(Boolean);
}
