// The list of uploads: progress of each file and of all, and what can be done about them.

import { isEnded, isRunning, type Uploader, type UploadItem, type UploadSnapshot } from "dropbox-api-client/upload";
import { make, makeIcon } from "./dom.ts";
import { count, formatBytes, formatDuration, formatShare } from "./format.ts";
import { UploadRow } from "./upload_row.ts";

/** Rows at a time: more would slow the page, and nothing is read in them. */
const MAX_ROWS = 200;
/** Cancelling more than this asks first. */
const WARNED_BYTES = 50 * 10 ** 6;
const ANNOUNCED = [0.25, 0.5, 0.75];

export class UploadList {
  readonly element: HTMLElement;
  private readonly heading = make("h2");
  private readonly facts = make("p", { className: "facts" });
  private readonly bar = make("progress", { max: 1, ariaLabel: "All files" });
  private readonly pause = make("button", { type: "button", className: "quiet" });
  private readonly cancel = make("button", { type: "button", className: "quiet" });
  private readonly list = make("ul", { className: "uploads" });
  private readonly more = make("p", { className: "facts" });
  private readonly status = make("p", { className: "hidden", role: "status" });
  private readonly rows = new Map<string, UploadRow>();
  private readonly title = document.title;
  private readonly told = new Set<string>();
  private announced = 0;
  private wasRunning = false;

  constructor(
    private readonly uploader: Uploader,
    private readonly pickAgain: () => void,
  ) {
    const actions = make("p", { className: "actions" }, this.pause, this.cancel);
    const head = make("div", { className: "total" }, make("div", {}, this.heading, this.facts), actions, this.bar);
    this.element = make("section", { hidden: true }, head, this.list, this.more);
    this.element.ariaLabel = "Uploads";
    document.body.append(this.status); // outside of the section, which is hidden while it is empty
    uploader.subscribe(() => this.show(uploader.getSnapshot()));
    this.show(uploader.getSnapshot());
  }

  private show(snapshot: UploadSnapshot): void {
    const items = snapshot.items.filter(({ status }) => status !== "cancelled");
    this.element.hidden = items.length === 0;
    this.showTotal(items, snapshot);
    this.showRows(items);
    this.announce(items, snapshot);
    const { isRunning, sentBytes, sizeBytes } = snapshot;
    document.title = isRunning ? `${formatShare(sentBytes, sizeBytes)} · ${this.title}` : this.title;
  }

  private showTotal(items: readonly UploadItem[], snapshot: UploadSnapshot): void {
    const { sentBytes, sizeBytes, rate, remainingS } = snapshot;
    const done = items.filter(({ status }) => status === "done").length;
    const failed = items.filter(({ status }) => status === "failed").length;
    const left = items.length - done - failed;
    const isDone = left === 0 && failed === 0;
    this.heading.replaceChildren(...(isDone ? [makeIcon("check")] : []), describeAll(done, failed, left, snapshot));
    this.heading.className = isDone ? "done" : "";
    const facts = [
      isDone ? formatBytes(sizeBytes) : `${formatBytes(sentBytes)} of ${formatBytes(sizeBytes)}`,
      snapshot.isRunning && rate ? `${formatBytes(rate)} a second` : "",
      snapshot.isRunning && remainingS !== null ? `about ${formatDuration(remainingS)} left` : "",
    ];
    this.facts.textContent = facts.filter(Boolean).join(" · ");
    this.bar.value = sizeBytes ? sentBytes / sizeBytes : done / Math.max(1, items.length);
    this.bar.hidden = isDone;
    const canResume = items.some(({ status }) => status === "paused" || status === "failed");
    this.pause.hidden = !snapshot.isRunning && !canResume;
    this.pause.textContent = snapshot.isRunning ? "Pause all" : failed > 0 ? "Try again" : "Resume all";
    this.pause.onclick = () => {
      if (snapshot.isRunning) this.uploader.pauseAll();
      else this.continueAll();
    };
    this.cancel.textContent = left === 0 ? "Clear the list" : "Cancel all";
    this.cancel.onclick = () => this.cancelAll(left === 0);
  }

  private continueAll(): void {
    this.uploader.resumeAll();
    this.uploader.retryAll();
  }

  private cancelAll(isOver: boolean): void {
    if (!isOver && !confirm("Cancel all uploads? What was sent of unfinished files is deleted.")) return;
    this.uploader.cancelAll();
    this.uploader.clear();
    document.querySelector<HTMLElement>(".zone button")?.focus();
  }

  private cancelOne(item: UploadItem): void {
    if (item.sentBytes > WARNED_BYTES && !isEnded(item)) {
      if (!confirm(`Cancel the upload of ${item.name}? What was sent of it is deleted.`)) return;
    }
    const row = this.rows.get(item.id)?.element;
    const next = row?.nextElementSibling ?? row?.previousElementSibling;
    (next?.querySelector<HTMLElement>("button:last-of-type") ?? this.cancel).focus();
    this.uploader.cancel(item.id);
    this.uploader.clear(item.id);
  }

  private showRows(items: readonly UploadItem[]): void {
    const shown = chooseRows(items);
    const ids = new Set(shown.map(({ id }) => id));
    for (const [id, row] of this.rows) {
      if (ids.has(id)) continue;
      row.element.remove();
      this.rows.delete(id);
    }
    let next = this.list.firstElementChild;
    for (const item of shown) {
      const row = this.rows.get(item.id) ?? this.makeRow(item);
      row.show(item);
      if (row.element === next) next = next.nextElementSibling;
      else this.list.insertBefore(row.element, next);
    }
    const hidden = items.length - shown.length;
    this.more.hidden = hidden === 0;
    this.more.textContent = `and ${count(hidden, "more file")}`;
  }

  private makeRow(item: UploadItem): UploadRow {
    const { uploader, pickAgain } = this;
    const row = new UploadRow({ uploader, pickAgain, cancel: (item) => this.cancelOne(item) });
    this.rows.set(item.id, row);
    return row;
  }

  /** Tell screen readers the start, quarters, failures and the end, and nothing between. */
  private announce(items: readonly UploadItem[], { sentBytes, sizeBytes, isRunning }: UploadSnapshot): void {
    for (const { id, name, status } of items) {
      if (status !== "failed") this.told.delete(id);
      else if (!this.told.has(id)) {
        this.told.add(id);
        this.status.textContent = `${name} was not sent`;
      }
    }
    const reached = ANNOUNCED.filter((share) => sizeBytes > 0 && sentBytes >= share * sizeBytes).length;
    if (isRunning && !this.wasRunning) {
      this.status.textContent = `Sending ${count(items.filter((item) => !isEnded(item)).length, "file")}`;
    } else if (isRunning && reached > this.announced) {
      this.status.textContent = `${formatShare(sentBytes, sizeBytes)} sent`;
    } else if (!isRunning && this.wasRunning) {
      this.status.textContent = this.heading.textContent;
    }
    this.announced = isRunning ? reached : 0;
    this.wasRunning = isRunning;
  }
}

function describeAll(done: number, failed: number, left: number, { isRunning }: UploadSnapshot): string {
  const total = done + failed + left;
  if (isRunning) return total === 1 ? "Sending 1 file" : `Sending: ${done} of ${count(total, "file")} sent`;
  if (left > 0) return `${count(left, "file")} to be continued`;
  if (failed === 0) return `${total === 1 ? "1 file has" : `${count(total, "file")} have`} arrived`;
  return done > 0 ? `${count(done, "file")} sent, ${failed} not` : `${count(failed, "file")} not sent`;
}

/** Return the items to show: all, or of many those that are worked on or need attention first. */
function chooseRows(items: readonly UploadItem[]): readonly UploadItem[] {
  if (items.length <= MAX_ROWS) return items;
  const isUrgent = (item: UploadItem) =>
    item.status === "failed" || item.status === "needs-file" || (isRunning(item) && item.status !== "queued");
  const urgent = items.filter(isUrgent);
  const others = items
    .filter((item) => !isUrgent(item))
    .sort((one, other) => Number(isEnded(one)) - Number(isEnded(other)));
  return [...urgent, ...others].slice(0, MAX_ROWS);
}
