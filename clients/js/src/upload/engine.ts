// The page's side of the engine: what is uploaded and how far, and a store that any framework can render.

import type { Client } from "../api.ts";
import { holdTab, waitUntilEnded } from "../tabs.ts";
import type { FromWorker, Question, Told, ToWorker } from "../worker/messages.ts";
import { Connectivity } from "./connectivity.ts";
import { readRetry } from "./errors.ts";
import type { FolderPath } from "./folders.ts";
import type { Job, OnConflict, Target } from "./job.ts";
import {
  applyCommand,
  applyReport,
  type Command,
  createState,
  isAllowed,
  isEnded,
  isRunning,
  type UploadState,
} from "./machine.ts";
import { OtherTabs, type TabCommand } from "./other_tabs.ts";
import { queryPermission, requestPermission } from "./permissions.ts";
import { keepAwake } from "./presence.ts";
import { makeSecret, ResumeStore, type Row } from "./resume.ts";
import { RetryWindow, retry } from "./retry.ts";
import { Snapshots, type UploadItem, type UploadSnapshot } from "./snapshots.ts";
import type { Choice } from "./transfer.ts";
import { readFiles, type UploadSource, type UploadTree } from "./tree.ts";

/** Smaller files are not remembered for the next visit unless the page has their handle: sending them again costs little. */
const REMEMBERED_BYTES = 8 * 1024 ** 2;
/** Files that are taken at once, so that the page stays responsive between. */
const ADDED_AT_ONCE = 100;

export interface UploaderOptions {
  /** For a link, a client without `auth`, or with `linkPass` if the link has a password. */
  client: Client;
  /** Send through this upload link; without it, to folders of the account. */
  link?: { token: string };
  /** Names the account in the browser's storage; without it, the id that `GET /v1/me` answers. */
  owner?: string;
  /** Decide about a taken name; without it, both files are kept. */
  onConflict?: (conflict: Conflict) => Decision | Promise<Decision>;
  /** Make the worker, where a bundler does not find it by itself. */
  createWorker?: () => Worker;
}

export interface Conflict {
  item: UploadItem;
  /** The file that has the name. */
  fileId: string | null;
}

export type Decision = Choice | { choice: Choice; forAll: true };

export interface Destination {
  /** A folder; without it, the root of the account or the folder of the link. */
  parentId?: string | null;
  onConflict?: OnConflict;
}

interface Entry {
  id: string;
  kind: "file" | "folder";
  name: string;
  folders: readonly string[];
  parentId: string | null;
  onConflict: OnConflict;
  file: File | null;
  handle: FileSystemFileHandle | null;
  lastModified: number;
  uploadId: string | null;
  isRemembered: boolean;
  state: UploadState;
  /** What snapshots show; null after a change. */
  item: UploadItem | null;
}

/** Uploads files; see `docs/upload-engine.md`. Make one for each account or link, and close it with the page's part. */
export function createUploader(options: UploaderOptions): Uploader {
  return new Uploader(options);
}

export class Uploader {
  /** Resolves when uploads of an earlier visit are in the snapshot. */
  readonly ready: Promise<void>;
  private readonly entries = new Map<string, Entry>();
  private worker: Worker;
  private readonly presence = keepAwake();
  private readonly connectivity = new Connectivity(navigator.onLine);
  private readonly closing = new AbortController();
  /** Names this uploader to those of the other tabs. */
  private readonly tab = makeSecret();
  private readonly ended = Promise.withResolvers<void>();
  /** Uploads that the worker ends at the server. */
  private readonly cancelling = new Map<string, PromiseWithResolvers<void>>();
  private store: ResumeStore | null = null;
  private others: OtherTabs | null = null;
  private hasWorkerFailed = false;
  private target: Target | null = null;
  private forAll: Choice | null = null;
  private questions: Promise<unknown> = Promise.resolve();
  private isClosed = false;
  private readonly snapshots = new Snapshots(
    () => {
      const others = this.others?.items.filter(({ id }) => !this.entries.has(id)) ?? [];
      return [...this.readItems(), ...others];
    },
    () => {
      const hasWork = this.readItems().some(isRunning);
      this.presence(hasWork);
      if (!hasWork) this.forAll = null;
    },
  );
  private readonly tellOnline = () => {
    this.connectivity.setOnline(navigator.onLine);
    this.post({ type: "online", isOnline: navigator.onLine });
  };

  constructor(private readonly options: UploaderOptions) {
    this.worker = this.startWorker();
    addEventListener("online", this.tellOnline);
    addEventListener("offline", this.tellOnline);
    this.ready = this.open();
    this.ready.catch(() => undefined); // `add` and callers of `ready` have the error
  }

  /** Call the listener after changes, at most once a frame; returns the function that ends it. */
  readonly subscribe = (listener: () => void): (() => void) => this.snapshots.subscribe(listener);

  /** Return the uploads; the same object until something changes. A command, such as `pause`, changes it at once. */
  readonly getSnapshot = (): UploadSnapshot => this.snapshots.get();

  /**
   * Upload files, or what `readDrop` and its like have read; return the ids of the uploads.
   *
   * A file that an earlier visit left half sent continues: it is known by name, place, size and time.
   */
  async add(files: UploadTree | Iterable<File>, destination: Destination = {}): Promise<string[]> {
    await this.ready;
    const tree = "files" in files ? files : readFiles(files);
    const parentId = destination.parentId ?? null;
    const onConflict = destination.onConflict ?? (this.options.onConflict ? "fail" : "rename");
    const ids: string[] = [];
    const empty = this.options.link ? [] : tree.emptyFolders; // a link makes folders only for files
    this.addFolders(tree.files, empty, parentId, ids);
    const left = this.listLeft();
    for (let begin = 0; begin < tree.files.length; begin += ADDED_AT_ONCE) {
      // A hidden page has slow timers, and need not respond.
      if (begin && document.visibilityState === "visible") await new Promise((resolve) => setTimeout(resolve));
      const added = tree.files
        .slice(begin, begin + ADDED_AT_ONCE)
        .map((source) => this.takeUp(left, source, parentId) ?? this.insertFile(source, parentId, onConflict));
      ids.push(...added.map(({ id }) => id));
      const remembered = this.remember(added.filter(({ isRemembered }) => !isRemembered));
      await this.run(added.filter(({ state }) => isRunning(state)));
      await remembered;
    }
    return ids;
  }

  pause(id: string): void {
    this.command(id, "pause");
  }

  /** Continue a paused upload. Call it in a click: the browser may ask for the file of an earlier visit. */
  resume(id: string): void {
    this.command(id, "resume");
  }

  /** Try a failed or skipped upload again. */
  retry(id: string): void {
    this.command(id, "retry");
  }

  /** End an upload, at the server, too. */
  cancel(id: string): void {
    this.command(id, "cancel");
  }

  pauseAll(): void {
    this.commandAll("pause");
  }

  resumeAll(): void {
    this.commandAll("resume");
  }

  retryAll(): void {
    this.commandAll("retry");
  }

  /** End all uploads. Resolves when the server has ended those of this tab, or cannot. */
  async cancelAll(): Promise<void> {
    this.commandAll("cancel");
    await Promise.all(Array.from(this.cancelling.values(), ({ promise }) => promise));
  }

  /** Remove ended uploads from the snapshot: all, or one. */
  clear(id?: string): void {
    this.remove([...this.entries.values()].filter((entry) => (id ?? entry.id) === entry.id));
    this.others?.command("clear", (other) => (id ?? other) === other);
  }

  /** Stop all work; a later visit continues. `forget` removes what it needs for that, as when an account signs out. */
  async close({ forget = false } = {}): Promise<void> {
    this.isClosed = true;
    this.snapshots.close();
    this.closing.abort(new DOMException("The uploader was closed", "AbortError"));
    this.worker.terminate();
    this.endCancelling();
    removeEventListener("online", this.tellOnline);
    removeEventListener("offline", this.tellOnline);
    this.presence(false);
    await this.ready.catch(() => undefined);
    if (forget) await this.store?.clear();
    this.store?.close();
    this.others?.close();
    this.ended.resolve();
  }

  // Begin

  private async open(): Promise<void> {
    const { client, link } = this.options;
    const scope = link ? `${client.baseUrl} link ${link.token}` : `${client.baseUrl} ${await this.readOwner()}`;
    await holdTab(this.tab, this.ended.promise);
    this.store = await ResumeStore.open(scope, this.tab);
    this.target = link
      ? {
          kind: "link",
          token: link.token,
          secret: (await this.store?.readSecret()) ?? makeSecret(),
        }
      : { kind: "account" };
    this.openWorker();
    this.others = this.openOthers(scope);
    await this.continueRows((await this.store?.takeOver()) ?? []);
  }

  private openOthers(scope: string): OtherTabs {
    return new OtherTabs({
      scope,
      tab: this.tab,
      readItems: () => this.readItems(),
      readFile: (id) => {
        const entry = this.entries.get(id);
        return entry?.isRemembered && !entry.handle ? entry.file : null;
      },
      onCommand: (ids, command) => this.applyOfOtherTab(ids, command),
      onClosed: async (tab) => this.continueRows((await this.store?.takeOverFrom(new Set([tab]))) ?? []),
      onChange: () => this.snapshots.change(),
    });
  }

  private applyOfOtherTab(ids: readonly string[], command: TabCommand | "clear"): void {
    const entries = ids.map((id) => this.entries.get(id)).filter((entry) => entry !== undefined);
    if (command === "clear") this.remove(entries);
    else this.apply(entries, { type: command });
  }

  private async continueRows(rows: readonly Row[]): Promise<void> {
    const restored = await Promise.all(rows.map((row) => this.restore(row)));
    this.snapshots.change();
    await this.run(restored.filter(({ state }) => isRunning(state)));
  }

  /** Ask who the account is, for as long as there is no network. */
  private async readOwner(): Promise<string> {
    const { owner, client } = this.options;
    if (owner !== undefined) return owner;
    const window = new RetryWindow(Number.POSITIVE_INFINITY);
    const { connectivity, closing } = this;
    const { data } = await retry(
      { window, connectivity, signal: closing.signal, onWait: () => undefined, readRetry },
      () => client.api.GET("/v1/me"),
    );
    return data.id;
  }

  /** Show an upload that a closed tab has left; it goes on at once where the browser lets the page read the file. */
  private async restore(row: Row): Promise<Entry> {
    const other = this.others?.find(row.id);
    const file = other?.file ?? null;
    const permission = row.handle && (await queryPermission(row.handle));
    const isReadable = permission === "granted" || file !== null;
    const whereReadable = other?.item.status === "paused" ? "paused" : "queued";
    const status = isReadable ? whereReadable : row.handle ? "paused" : "needs-file";
    return this.insert({
      ...row,
      kind: "file",
      onConflict: this.options.onConflict ? "fail" : "rename",
      file,
      isRemembered: true,
      state: { ...createState(row.sizeBytes, status), sentBytes: other?.item.sentBytes ?? 0 },
    });
  }

  private addFolders(
    files: readonly UploadSource[],
    empty: readonly (readonly string[])[],
    parentId: string | null,
    ids: string[],
  ): void {
    const folders = empty.map((path) => {
      const entry = this.insert({
        id: makeSecret(),
        kind: "folder",
        name: path.at(-1) ?? "",
        folders: path.slice(0, -1),
        parentId,
        onConflict: "fail",
        file: null,
        handle: null,
        lastModified: 0,
        uploadId: null,
        isRemembered: false,
        state: createState(0),
      });
      ids.push(entry.id);
      return entry;
    });
    if (!this.options.link) this.makeFolders(folders, listFolders(files, parentId));
  }

  private makeFolders(entries: readonly Entry[], paths: readonly FolderPath[]): void {
    const folders = entries.map(({ id, state, folders, name, parentId }) => {
      return { id, run: state.run, path: { parentId, names: [...folders, name] } };
    });
    if (folders.length || paths.length) this.post({ type: "make-folders", paths, folders });
  }

  /** Return the uploads of earlier visits that need their file, by what identifies it. */
  private listLeft(): Map<string, Entry> {
    const left = [...this.entries.values()].filter(({ state }) => isAllowed(state, "provide-file"));
    return new Map(left.map((entry) => [identify(entry, entry.state.sizeBytes, entry.lastModified), entry]));
  }

  /** Return the upload that this file continues. */
  private takeUp(left: Map<string, Entry>, source: UploadSource, parentId: string | null): Entry | null {
    const { file, handle, folders } = source;
    const entry = left.get(identify({ name: file.name, folders, parentId }, file.size, file.lastModified));
    if (!entry || !isAllowed(entry.state, "provide-file")) return null;
    entry.file = file;
    entry.handle ??= handle;
    this.setState(entry, applyCommand(entry.state, { type: "provide-file" }));
    return entry;
  }

  private insertFile(source: UploadSource, parentId: string | null, onConflict: OnConflict): Entry {
    const { file, handle, folders } = source;
    return this.insert({
      id: makeSecret(),
      kind: "file",
      name: file.name,
      folders,
      parentId,
      onConflict,
      file,
      handle,
      lastModified: file.lastModified,
      uploadId: null,
      isRemembered: false,
      state: createState(file.size),
    });
  }

  private insert(entry: Omit<Entry, "item">): Entry {
    const inserted = { ...entry, item: null };
    this.entries.set(entry.id, inserted);
    this.change(entry.id);
    return inserted;
  }

  /** Remove the uploads that have ended. */
  private remove(entries: readonly Entry[]): void {
    const ended = entries.filter(({ state }) => isEnded(state));
    for (const { id } of ended) {
      this.entries.delete(id);
      this.change(id);
    }
    this.forget(ended);
  }

  private async remember(entries: readonly Entry[]): Promise<void> {
    const kept = entries.filter(({ handle, state }) => handle || state.sizeBytes > REMEMBERED_BYTES);
    if (!kept.length || !this.store) return;
    for (const entry of kept) entry.isRemembered = true;
    const rows = kept.map(({ id, name, folders, parentId, state, lastModified, uploadId, handle }) => {
      return { id, name, folders, parentId, sizeBytes: state.sizeBytes, lastModified, uploadId, handle };
    });
    await this.store.put(rows).catch(() => undefined); // a full disk: the upload works without
  }

  // Run

  private async run(entries: readonly Entry[]): Promise<void> {
    this.makeFolders(
      entries.filter(({ kind, state }) => kind === "folder" && state.run > 0),
      [],
    );
    const jobs: Job[] = [];
    for (const entry of entries) {
      const { run } = entry.state;
      if (entry.kind === "folder") continue;
      const file = await this.readFile(entry);
      if (!file || entry.state.run !== run || !isRunning(entry.state)) continue;
      const { id, name, folders, parentId, onConflict, uploadId } = entry;
      jobs.push({ id, run, file, name, folders, parentId, onConflict, uploadId });
    }
    if (jobs.length) this.post({ type: "run", jobs });
  }

  /** Return the file as it is now; without one, the upload has failed or needs the file again. */
  private async readFile(entry: Entry): Promise<File | null> {
    const { handle } = entry;
    if (!handle || (entry.file && entry.state.run === 0)) return entry.file;
    try {
      const permission = await queryPermission(handle);
      if (permission !== "granted" && (await requestPermission(handle)) !== "granted") {
        this.setState(entry, applyCommand(entry.state, { type: "pause" }));
        return null;
      }
      const file = await handle.getFile();
      const isChanged = file.size !== entry.state.sizeBytes || file.lastModified !== entry.lastModified;
      if (isChanged) {
        // The next try sends the file as it is now.
        entry.lastModified = file.lastModified;
        entry.uploadId = null;
        entry.file = file;
        this.setState(entry, { ...entry.state, sizeBytes: file.size, sentBytes: 0 });
        const failure = { code: "file-changed", detail: "The file changed since the upload began" };
        this.setState(entry, applyReport(entry.state, entry.state.run, { type: "failed", failure }));
        return null;
      }
      entry.file = file;
      return file;
    } catch (error) {
      const failure = { code: "file-unreadable", detail: error instanceof Error ? error.message : String(error) };
      this.setState(entry, applyReport(entry.state, entry.state.run, { type: "failed", failure }));
      return null;
    }
  }

  private command(id: string, command: TabCommand): void {
    const entry = this.entries.get(id);
    if (entry) this.apply([entry], { type: command });
    else this.others?.command(command, (other) => other === id);
  }

  private commandAll(command: TabCommand): void {
    this.apply([...this.entries.values()], { type: command });
    this.others?.command(command, () => true);
  }

  private apply(entries: readonly Entry[], command: Command): void {
    const changed = entries.filter(({ state }) => isAllowed(state, command.type));
    for (const entry of changed) this.setState(entry, applyCommand(entry.state, command));
    if (command.type === "resume" || command.type === "retry") {
      this.forAll = null;
      void this.run(changed);
    } else if (command.type === "pause") {
      this.post({ type: "stop", ids: changed.map(({ id }) => id) });
    } else {
      for (const { id, uploadId } of changed) {
        if (!this.isClosed) this.cancelling.set(id, Promise.withResolvers());
        this.post({ type: "cancel", id, uploadId });
      }
      this.forget(changed);
    }
  }

  private forget(entries: readonly Entry[]): void {
    const ids = entries.filter(({ isRemembered }) => isRemembered).map(({ id }) => id);
    if (ids.length) this.store?.delete(ids).catch(() => undefined);
  }

  // The worker

  private startWorker(): Worker {
    const worker = (this.options.createWorker ?? createWorker)();
    worker.onmessage = ({ data }: MessageEvent<FromWorker>) => this.receive(worker, data);
    worker.onerror = ({ message }) => this.failAll(worker, message || "the browser did not start the worker's script");
    return worker;
  }

  /** Tell a new worker what it works for. */
  private openWorker(): void {
    const { baseUrl } = this.options.client;
    if (this.target)
      this.post({ type: "open", name: makeSecret(), baseUrl, target: this.target, isOnline: navigator.onLine });
  }

  /** Send a message to the worker; one that asks for work goes to a new worker where the last one has failed. */
  private post(message: ToWorker): void {
    if (this.isClosed) return;
    const isWork = message.type === "run" || message.type === "make-folders" || message.type === "cancel";
    if (this.hasWorkerFailed && isWork) {
      this.hasWorkerFailed = false;
      this.worker = this.startWorker();
      this.openWorker();
    }
    this.worker.postMessage(message);
  }

  /** Fail the uploads when the worker, which holds the lock of this name, ends without an event. */
  private async watch(worker: Worker, name: string): Promise<void> {
    if (await waitUntilEnded(name, this.closing.signal)) this.failAll(worker, "it was ended");
  }

  private receive(worker: Worker, message: FromWorker): void {
    if (worker !== this.worker) return;
    switch (message.type) {
      case "held":
        void this.watch(worker, message.name);
        break;
      case "reports":
        this.record(message.reports);
        break;
      case "session": {
        const entry = this.entries.get(message.id);
        if (entry?.state.run !== message.run) break;
        entry.uploadId = message.uploadId;
        if (entry.isRemembered) this.store?.setUploadId(entry.id, message.uploadId).catch(() => undefined);
        break;
      }
      case "cancelled":
        this.cancelling.get(message.id)?.resolve();
        this.cancelling.delete(message.id);
        break;
      case "question":
        void this.answer(worker, message.number, message.question);
    }
  }

  private record(reports: readonly Told[]): void {
    const over: Entry[] = [];
    for (const { id, run, report } of reports) {
      const entry = this.entries.get(id);
      if (!entry) continue;
      this.setState(entry, applyReport(entry.state, run, report));
      const { status } = entry.state;
      if (status === "done" || status === "skipped") over.push(entry);
    }
    this.forget(over);
  }

  /** Fail all uploads, and end what waits for the worker: without this both would wait for ever. */
  private failAll(worker: Worker, reason: string): void {
    if (worker !== this.worker) return;
    this.hasWorkerFailed = true;
    worker.terminate();
    const failure = { code: "worker-failed", detail: `The upload worker failed: ${reason}` };
    for (const entry of this.entries.values()) {
      this.setState(entry, applyReport(entry.state, entry.state.run, { type: "failed", failure }));
    }
    this.endCancelling();
  }

  private endCancelling(): void {
    for (const { resolve } of this.cancelling.values()) resolve();
    this.cancelling.clear();
  }

  private async answer(worker: Worker, question: number, asked: Question): Promise<void> {
    const reply = (value: unknown, error: string | null) =>
      worker.postMessage({ type: "answer", question, value, error } satisfies ToWorker);
    try {
      reply(asked.type === "token" ? await this.getToken(asked.refused) : await this.decide(asked), null);
    } catch (error) {
      reply(null, error instanceof Error ? error.message : String(error));
    }
  }

  private getToken(refused: string | null): Promise<string | null> {
    return this.options.client.auth.getToken(refused ?? undefined);
  }

  /** Ask the page about a taken name: one question at a time, none after an answer for all. */
  private decide({ id, fileId }: Extract<Question, { type: "decide" }>): Promise<Choice> {
    const decided = this.questions.then(async () => {
      const entry = this.entries.get(id);
      if (!entry || isEnded(entry.state)) return "skip";
      const { onConflict } = this.options;
      if (this.forAll || !onConflict) return this.forAll ?? "rename";
      const decision = await onConflict({ item: toItem(entry), fileId });
      if (typeof decision === "string") return decision;
      this.forAll = decision.choice;
      return decision.choice;
    });
    this.questions = decided.catch(() => undefined);
    return decided;
  }

  private setState(entry: Entry, state: UploadState): void {
    if (state === entry.state) return;
    entry.state = state;
    entry.item = null;
    this.change(entry.id);
  }

  private change(id: string): void {
    this.snapshots.change();
    this.others?.tell(id);
  }

  private readItems(): UploadItem[] {
    return Array.from(this.entries.values(), toItem);
  }
}

function identify(
  place: Pick<Entry, "name" | "folders" | "parentId">,
  sizeBytes: number,
  lastModified: number,
): string {
  return JSON.stringify([place.parentId, ...place.folders, place.name, sizeBytes, lastModified]);
}

function toItem(entry: Entry): UploadItem {
  const { id, kind, name, folders, parentId, state } = entry;
  entry.item ??= { id, kind, name, folders, parentId, isOfOtherTab: false, ...state };
  return entry.item;
}

/** Return the folders on the way to files, each once. */
function listFolders(files: readonly UploadSource[], parentId: string | null): FolderPath[] {
  const paths = new Map<string, FolderPath>();
  for (const { folders } of files) if (folders.length) paths.set(folders.join("/"), { parentId, names: folders });
  return [...paths.values()];
}

function createWorker(): Worker {
  const url = new URL("./worker.js", import.meta.url);
  if (url.origin === location.origin) {
    return new Worker(new URL("./worker.js", import.meta.url), { type: "module" }); // bundlers look for this
  }
  // A worker must come from the page's own origin: from there it imports the script of another one.
  const shim = new Blob([`import ${JSON.stringify(url.href)};`], { type: "text/javascript" });
  return new Worker(URL.createObjectURL(shim), { type: "module" });
}
