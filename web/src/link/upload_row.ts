// One upload in the list.

import { isEnded, isRunning, type Uploader, type UploadItem } from "dropbox-api-client/upload";
import { type Icon, make, makeIcon, makeIconButton } from "./dom.ts";
import { describeFailure } from "./failures.ts";
import { formatBytes, formatShare } from "./format.ts";

interface Actions {
  uploader: Uploader;
  /** Let the person pick the file of an earlier visit. */
  pickAgain: () => void;
  cancel: (item: UploadItem) => void;
}

interface Step {
  icon: Icon;
  label: string;
  run: (id: string) => void;
}

export class UploadRow {
  readonly element: HTMLLIElement;
  private readonly name = make("span", { className: "name" });
  private readonly status = make("span", { className: "facts" });
  private readonly bar = make("progress", { max: 1 });
  private readonly step: HTMLButtonElement;
  private readonly remove: HTMLButtonElement;
  private item: UploadItem | null = null;

  constructor(private readonly actions: Actions) {
    this.step = makeIconButton("pause", "", () => this.item && this.readStep(this.item)?.run(this.item.id));
    this.remove = makeIconButton("cancel", "", () => this.item && actions.cancel(this.item));
    const buttons = make("span", { className: "actions" }, this.step, this.remove);
    this.element = make("li", {}, this.name, this.status, buttons, this.bar);
  }

  /** Show the item; an item is immutable, so the same one is shown already. */
  show(item: UploadItem): void {
    if (item === this.item) return;
    const before = this.item;
    this.item = item;
    const name = [...item.folders, item.name].join(" / ");
    if (before === null) {
      this.name.append(make("bdi", {}, name));
      this.bar.ariaLabel = name;
    }
    this.status.textContent = describe(item);
    this.status.classList.toggle("error", item.status === "failed");
    this.status.classList.toggle("done", item.status === "done");
    this.bar.hidden = isEnded(item);
    const bytes = item.status === "checking" ? item.checkedBytes : item.sentBytes;
    this.bar.value = item.sizeBytes ? bytes / item.sizeBytes : 0;
    if (before?.status !== item.status) this.showButtons(item, name);
  }

  private showButtons(item: UploadItem, name: string): void {
    const step = this.readStep(item);
    this.step.hidden = step === null;
    if (step) {
      this.step.replaceChildren(makeIcon(step.icon));
      label(this.step, `${step.label} ${name}`);
    }
    label(this.remove, `${isEnded(item) ? "Remove from the list:" : "Cancel"} ${name}`);
  }

  /** Return what the first button does. */
  private readStep(item: UploadItem): Step | null {
    const { uploader, pickAgain } = this.actions;
    if (isRunning(item)) return { icon: "pause", label: "Pause", run: (id) => uploader.pause(id) };
    if (item.status === "paused") return { icon: "resume", label: "Resume", run: (id) => uploader.resume(id) };
    if (item.status === "needs-file") return { icon: "file", label: "Choose again:", run: pickAgain };
    if (item.status !== "failed") return null;
    return { icon: "retry", label: "Try again:", run: (id) => uploader.retry(id) };
  }
}

function label(button: HTMLButtonElement, text: string): void {
  button.ariaLabel = text;
  button.title = text;
}

function describe(item: UploadItem): string {
  const { status, sizeBytes, sentBytes, checkedBytes, reason, failure } = item;
  const sent = `${formatBytes(sentBytes)} of ${formatBytes(sizeBytes)}`;
  switch (status) {
    case "queued":
      return `${formatBytes(sizeBytes)} · waits for its turn`;
    case "checking":
      return checkedBytes ? `Reading the file: ${formatShare(checkedBytes, sizeBytes)}` : "Reading the file";
    case "sending":
      return sent;
    case "waiting":
      return reason === "offline" ? `${sent} · no network` : `${sent} · trying again`;
    case "completing":
      return "Finishing";
    case "elsewhere":
      return "Another tab sends this file";
    case "paused":
      return `${sent} · paused`;
    case "needs-file":
      return "Choose this file again, and its upload continues";
    case "failed":
      return failure ? describeFailure(failure) : "";
    case "done":
      return formatBytes(sizeBytes);
    default:
      return "";
  }
}
