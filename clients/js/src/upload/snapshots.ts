// What a page shows of its uploads: an immutable snapshot, and listeners that are called at most once a frame.

import { isEnded, isRunning, type UploadState } from "./machine.ts";
import { Pace } from "./pace.ts";

const HIDDEN_FRAME_MS = 250;

/** An upload as a page shows it. Immutable. */
export interface UploadItem extends UploadState {
  id: string;
  kind: "file" | "folder";
  name: string;
  /** Names of the folders on the way, below the destination. */
  folders: readonly string[];
  parentId: string | null;
  /** Whether another tab of the browser sends it. Commands reach it there. */
  isOfOtherTab: boolean;
}

/** All uploads, those of other tabs too. Immutable: a change makes another one. */
export interface UploadSnapshot {
  items: readonly UploadItem[];
  /** Of the uploads that were not cancelled. */
  sizeBytes: number;
  sentBytes: number;
  isRunning: boolean;
  /** Bytes a second; null while unknown. */
  rate: number | null;
  /** Seconds until all is sent; null while unknown. */
  remainingS: number | null;
}

export class Snapshots {
  private readonly listeners = new Set<() => void>();
  private readonly pace = new Pace();
  /** Null after a change. */
  private snapshot: UploadSnapshot | null = null;
  private isFrameDue = false;
  private isClosed = false;

  /** `onFrame` is called before the listeners. */
  constructor(
    private readonly readItems: () => UploadItem[],
    private readonly onFrame: () => void,
  ) {
    document.addEventListener("visibilitychange", this.schedule);
  }

  subscribe(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Return the uploads as they are now: a command shows at once, its listeners are called at the next frame. */
  get(): UploadSnapshot {
    this.snapshot ??= this.take();
    return this.snapshot;
  }

  /** Call the listeners at the next frame. */
  change(): void {
    if (this.isClosed) return;
    this.snapshot = null;
    if (this.isFrameDue) return;
    this.isFrameDue = true;
    this.schedule();
  }

  /** Keep the last snapshot. */
  close(): void {
    this.get();
    this.isClosed = true;
    document.removeEventListener("visibilitychange", this.schedule);
  }

  /** A hidden page has no frames, also none that were due before it was hidden. */
  private readonly schedule = (): void => {
    if (!this.isFrameDue) return;
    if (document.visibilityState === "visible") requestAnimationFrame(this.publish);
    else setTimeout(this.publish, HIDDEN_FRAME_MS);
  };

  private readonly publish = (): void => {
    if (!this.isFrameDue || this.isClosed) return;
    this.isFrameDue = false;
    this.onFrame();
    for (const listener of [...this.listeners]) listener();
  };

  private take(): UploadSnapshot {
    const items = this.readItems();
    const counted = items.filter(({ status }) => status !== "cancelled" && status !== "skipped");
    const sum = (read: (item: UploadItem) => number) => counted.reduce((total, item) => total + read(item), 0);
    const sizeBytes = sum((item) => item.sizeBytes);
    const sentBytes = sum((item) => item.sentBytes);
    const filesLeft = sum((item) => (isEnded(item) ? 0 : 1));
    const hasWork = items.some(isRunning);
    if (hasWork) this.pace.record(performance.now() / 1000, sentBytes, counted.length - filesLeft, counted.length);
    else this.pace.reset();
    return {
      items,
      sizeBytes,
      sentBytes,
      isRunning: hasWork,
      rate: this.pace.rate,
      remainingS: hasWork ? this.pace.estimateS(sizeBytes - sentBytes, filesLeft) : null,
    };
  }
}
