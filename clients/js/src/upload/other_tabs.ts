// What the tabs of one account, or of one link, show of each other's uploads.
//
// An upload belongs to the tab that sends it. That tab tells the others what changes, a few times a second; they show it, and
// send it their commands. When it closes, which its lock tells, one of them continues its uploads.

import { type Channel, getLocks, openChannel, waitUntilEnded } from "../tabs.ts";
import { pause } from "../wait.ts";
import { applyCommand, type Command, isAllowed, isEnded } from "./machine.ts";
import type { UploadItem } from "./snapshots.ts";

/** Changes are collected for this long. */
const TELL_MS = 200;
/** A tab that closes may be reloaded: then it continues its uploads itself. */
const RELOAD_MS = 3000;

export type TabCommand = Exclude<Command["type"], "provide-file">;

type Message =
  /** A tab has opened: the others tell it all that they have. */
  | { type: "open"; tab: string }
  /** Uploads of a tab that are new or have changed, ids of those that it has no longer, and files that have no handle. */
  | {
      type: "tell";
      tab: string;
      items: readonly UploadItem[];
      gone: readonly string[];
      files: ReadonlyMap<string, File>;
    }
  /** For the tabs that have these uploads. */
  | { type: "command"; command: TabCommand | "clear"; ids: readonly string[] };

/** An upload of another tab. */
interface OtherUpload {
  tab: string;
  item: UploadItem;
  file: File | null;
}

interface OtherTabsOptions {
  /** Names the account or the link. */
  scope: string;
  /** This tab. */
  tab: string;
  /** Return the uploads of this tab. */
  readItems: () => UploadItem[];
  /** Return the file of an upload of this tab, where another tab needs it to continue. */
  readFile: (id: string) => File | null;
  /** Apply a command of another tab to the uploads that this one has. */
  onCommand: (ids: readonly string[], command: TabCommand | "clear") => void;
  /** Continue the uploads of a tab that has closed. */
  onClosed: (tab: string) => Promise<void>;
  /** What the other tabs show has changed. */
  onChange: () => void;
}

export class OtherTabs {
  private readonly uploads = new Map<string, OtherUpload>();
  private readonly tabs = new Set<string>();
  /** Uploads of this tab that the others do not know yet as they are now. */
  private readonly changed = new Set<string>();
  /** Uploads of this tab whose files the others have. */
  private readonly shared = new Set<string>();
  private readonly closing = new AbortController();
  /** Null without locks, as a page over http is: it could not notice that another tab has closed. */
  private readonly channel: Channel<Message> | null;

  constructor(private readonly options: OtherTabsOptions) {
    const name = `dropbox-api uploads ${options.scope}`;
    this.channel = getLocks() ? openChannel<Message>(name, (message) => this.receive(message)) : null;
    this.channel?.post({ type: "open", tab: options.tab });
  }

  get items(): UploadItem[] {
    return Array.from(this.uploads.values(), ({ item }) => item);
  }

  /** Return an upload of another tab, also shortly after that tab has closed. */
  find(id: string): OtherUpload | undefined {
    return this.uploads.get(id);
  }

  /** Tell the other tabs about an upload of this one that is new, has changed, or is gone. */
  tell(id: string): void {
    if (!this.tabs.size) return;
    this.changed.add(id);
    if (this.changed.size === 1) setTimeout(() => this.flush(), TELL_MS);
  }

  /** Send a command to the tabs of the uploads that are meant, and show at once what it causes. */
  command(command: TabCommand | "clear", isMeant: (id: string) => boolean): void {
    const ids: string[] = [];
    for (const [id, { tab, item, file }] of this.uploads) {
      const isPossible = command === "clear" ? isEnded(item) : isAllowed(item, command);
      if (!isPossible || !isMeant(id)) continue;
      ids.push(id);
      if (command === "clear") this.uploads.delete(id);
      else this.uploads.set(id, { tab, file, item: { ...item, ...applyCommand(item, { type: command }) } });
    }
    if (!ids.length) return;
    this.channel?.post({ type: "command", command, ids });
    this.options.onChange();
  }

  close(): void {
    this.closing.abort();
    this.channel?.close();
  }

  private receive(message: Message): void {
    if (message.type === "command") {
      this.options.onCommand(message.ids, message.command);
      return;
    }
    const { tab } = message;
    if (!this.tabs.has(tab)) {
      this.tabs.add(tab);
      void this.waitForEnd(tab);
    }
    if (message.type === "open") {
      this.shared.clear();
      this.post(this.options.readItems(), []);
      return;
    }
    for (const item of message.items) {
      const file = message.files.get(item.id) ?? this.uploads.get(item.id)?.file ?? null;
      this.uploads.set(item.id, { tab, item: { ...item, isOfOtherTab: true }, file });
    }
    for (const id of message.gone) if (this.uploads.get(id)?.tab === tab) this.uploads.delete(id);
    this.options.onChange();
  }

  private flush(): void {
    if (this.closing.signal.aborted) return;
    const items = this.options.readItems().filter(({ id }) => this.changed.delete(id));
    const gone = [...this.changed];
    this.changed.clear();
    this.post(items, gone);
  }

  private post(items: readonly UploadItem[], gone: readonly string[]): void {
    const files = new Map<string, File>();
    for (const { id } of items) {
      const file = this.shared.has(id) ? null : this.options.readFile(id);
      if (!file) continue;
      this.shared.add(id);
      files.set(id, file);
    }
    this.channel?.post({ type: "tell", tab: this.options.tab, items, gone, files });
  }

  /** Wait until a tab has closed; its uploads are then those of another one. */
  private async waitForEnd(tab: string): Promise<void> {
    const { signal } = this.closing;
    if (!(await waitUntilEnded(tab, signal))) return;
    await pause(RELOAD_MS, signal);
    if (signal.aborted) return;
    await this.options.onClosed(tab);
    this.tabs.delete(tab);
    for (const [id, upload] of this.uploads) if (upload.tab === tab) this.uploads.delete(id);
    this.options.onChange();
  }
}
