// What a browser gives a page, as far as the page's side of the engine uses it, and a worker that does what a test says.

import { vi } from "vitest";
import { createClient } from "../../../src/index.ts";
import { createUploader, type Uploader, type UploaderOptions } from "../../../src/upload/index.ts";
import type { Report } from "../../../src/upload/machine.ts";
import type { FromWorker, ToWorker } from "../../../src/worker/messages.ts";

/** Stands for the window and the document. `vi.unstubAllGlobals` ends it. */
export class FakePage extends EventTarget {
  visibilityState = "visible";
  readonly wakeLocks: EventTarget[] = [];
  private frames: (() => void)[] = [];

  constructor() {
    super();
    vi.stubGlobal("document", this);
    vi.stubGlobal("addEventListener", this.addEventListener.bind(this));
    vi.stubGlobal("removeEventListener", this.removeEventListener.bind(this));
    vi.stubGlobal("requestAnimationFrame", (frame: () => void) => this.frames.push(frame));
    const request = async () => this.addWakeLock();
    vi.stubGlobal("navigator", { onLine: true, locks: navigator.locks, wakeLock: { request } });
  }

  /** Draw a frame. */
  draw(): void {
    for (const frame of this.frames.splice(0)) frame();
  }

  /** Dispatch an event to the page; return whether the page has prevented what the browser does about it. */
  fire(type: string): boolean {
    return !this.dispatchEvent(new Event(type, { cancelable: true }));
  }

  /** Take a wake lock away, as the browser does when the page is hidden. */
  releaseWakeLock(lock: EventTarget): void {
    this.wakeLocks.splice(this.wakeLocks.indexOf(lock), 1);
    lock.dispatchEvent(new Event("release"));
  }

  private addWakeLock(): EventTarget {
    const lock: EventTarget = Object.assign(new EventTarget(), { release: async () => this.releaseWakeLock(lock) });
    this.wakeLocks.push(lock);
    return lock;
  }
}

/** The engine of a page of a new account, and its worker in the hands of the test. */
export class EnginePage {
  readonly uploader: Uploader;
  readonly received: ToWorker[] = [];
  private worker = this.makeWorker();

  constructor(options: Partial<UploaderOptions> = {}) {
    const client = createClient({ baseUrl: "https://server.example" });
    const createWorker = () => (this.worker = this.makeWorker()) as unknown as Worker;
    this.uploader = createUploader({ client, owner: crypto.randomUUID(), createWorker, ...options });
  }

  /** Add files by name; return the ids of the uploads. */
  add(...names: string[]): Promise<string[]> {
    return this.uploader.add(names.map((name) => new File([name], name)));
  }

  /** Let the worker report about the newest run of an upload. */
  report(id: string | undefined, report: Report): void {
    const run = this.uploader.getSnapshot().items.find((item) => item.id === id)?.run ?? 0;
    this.send({ type: "reports", reports: [{ id: id ?? "", run, report }] });
  }

  send(message: FromWorker): void {
    this.worker.onmessage({ data: message });
  }

  /** Let the worker fail, as one whose script throws. */
  failWorker(message: string): void {
    this.worker.onerror({ message });
  }

  /** A worker that does nothing by itself. */
  private makeWorker() {
    return {
      onmessage: (_: { data: FromWorker }) => {},
      onerror: (_: { message: string }) => {},
      postMessage: (message: ToWorker) => this.received.push(message),
      terminate: () => {},
    };
  }

  get statuses(): string[] {
    return this.uploader.getSnapshot().items.map(({ status }) => status);
  }

  /** Return the runs that the worker was asked for, as "name run". */
  get runs(): string[] {
    return this.received.flatMap((message) =>
      message.type === "run" ? message.jobs.map(({ name, run }) => `${name} ${run}`) : [],
    );
  }
}
