// Which jobs run now: large files one by one, small ones in batches; all share the lanes. The worker's side of the engine.

import type { Client } from "../api.ts";
import { orAborted } from "../wait.ts";
import type { Put } from "../worker/put.ts";
import { type BatchJob, sendBatch } from "./batch.ts";
import type { Connectivity } from "./connectivity.ts";
import { describeFailure, readRetry } from "./errors.ts";
import { type FolderPath, Folders } from "./folders.ts";
import type { Job, Target } from "./job.ts";
import { Lanes } from "./lanes.ts";
import type { Report } from "./machine.ts";
import { RetryWindow, retry } from "./retry.ts";
import { openSessions, type Sessions } from "./sessions.ts";
import { type Choice, type TransferContext, transferFile } from "./transfer.ts";

/** Files and batches at work at once. One address may have few sessions under a link. */
const UNITS = { account: 3, link: 1 };
const SMALL_BYTES = 8 * 1024 ** 2;
const BATCH_FILES = 200;
const BATCH_BYTES = 64 * 1024 ** 2;

export interface RunnerOptions {
  client: Client;
  target: Target;
  put: Put;
  connectivity: Connectivity;
  onReport: (job: Job, report: Report) => void;
  onSession: (job: Job, uploadId: string | null) => void;
  decide: (job: Job, fileId: string | null) => Promise<Choice>;
  /** Run while no other tab works on the session. */
  lock: (uploadId: string, onBusy: () => void, signal: AbortSignal, run: () => Promise<void>) => Promise<void>;
}

interface Work {
  job: Job;
  controller: AbortController;
  hasEnded: boolean;
  /** Whether a batch has handed it back. */
  isAlone: boolean;
  finished: PromiseWithResolvers<void>;
}

export class Runner {
  readonly sessions: Sessions;
  private readonly folders: Folders;
  private readonly lanes = new Lanes();
  private readonly work = new Map<string, Work>();
  /** Sessions of jobs that have not ended at the server, by the job: those of batches are known here only. */
  private readonly uploadIds = new Map<string, string>();
  private queue: Work[] = [];
  private units = 0;
  private foldersReady: Promise<void> = Promise.resolve();
  private readonly closing = new AbortController().signal;

  constructor(private readonly options: RunnerOptions) {
    this.sessions = openSessions(options.client, options.target);
    this.folders = new Folders(options.client);
  }

  /** Run jobs; each starts when its turn has come and an earlier run of it is over. */
  async run(jobs: readonly Job[]): Promise<void> {
    if (jobs.some(({ run }) => run > 0)) this.folders.forgetRefused();
    for (const job of jobs) {
      const earlier = this.work.get(job.id);
      if (earlier) {
        this.stopWork(earlier);
        await earlier.finished.promise;
      }
      const work: Work = {
        job,
        controller: new AbortController(),
        hasEnded: false,
        isAlone: job.uploadId !== null || job.file.size > SMALL_BYTES,
        finished: Promise.withResolvers(),
      };
      this.work.set(job.id, work);
      this.queue.push(work);
    }
    this.start();
  }

  /** Stop a job; its session stays. */
  stop(id: string): void {
    const work = this.work.get(id);
    if (work) this.stopWork(work);
  }

  /** Stop a job and abort its session, unless it holds the content of another destination, too. */
  async cancel(id: string, uploadId: string | null): Promise<void> {
    const work = this.work.get(id);
    if (work) this.stopWork(work);
    await work?.finished.promise;
    const known = this.uploadIds.get(id) ?? uploadId;
    this.uploadIds.delete(id);
    if (known === null) return;
    const session = await this.sessions.reconcile(known);
    if (!("destinations" in session) || session.destinations.length < 2) await this.sessions.abort(known);
  }

  /** Make folders, with few calls, before the files in them ask for their own. */
  async makeFolders(paths: readonly FolderPath[]): Promise<void> {
    const { window, signal, connectivity } = { window: new RetryWindow(), signal: this.closing, ...this.options };
    const make = () => this.folders.make(paths);
    this.foldersReady = retry({ window, signal, connectivity, onWait: () => undefined, readRetry }, make).catch(
      () => undefined, // each file asks again, and has the failure then
    );
    await this.foldersReady;
  }

  /** Make a folder; throws UploadError where the server refuses it. */
  async makeFolder(path: FolderPath): Promise<string | null> {
    await this.foldersReady;
    return this.folders.find(path);
  }

  private stopWork(work: Work): void {
    work.hasEnded = true;
    work.controller.abort(new DOMException("The upload was stopped", "AbortError"));
    const index = this.queue.indexOf(work);
    if (index < 0) return;
    this.queue.splice(index, 1);
    this.finish(work);
  }

  private start(): void {
    while (this.units < UNITS[this.options.target.kind] && this.queue.length) {
      const batch = this.takeBatch();
      this.units += 1;
      void (batch.length > 1 ? this.runBatch(batch) : this.runAlone(batch[0])).finally(() => {
        this.units -= 1;
        this.start();
      });
    }
  }

  /** Take the next job, and with a small one those that share its batch. */
  private takeBatch(): [Work, ...Work[]] | [] {
    const [first] = this.queue;
    if (!first) return [];
    const batch: [Work, ...Work[]] = [first];
    let bytes = first.job.file.size;
    const most = this.options.target.kind === "link" ? 4 : BATCH_FILES;
    const rest: Work[] = [];
    for (const work of this.queue.slice(1)) {
      const fits = !first.isAlone && !work.isAlone && batch.length < most && bytes + work.job.file.size <= BATCH_BYTES;
      if (fits) {
        batch.push(work);
        bytes += work.job.file.size;
      } else {
        rest.push(work);
      }
    }
    this.queue = rest;
    return batch;
  }

  private async runBatch(batch: readonly Work[]): Promise<void> {
    const local = new AbortController();
    const ofJob = new Map(batch.map((work) => [work.job.id, work]));
    const members = batch.map(
      (work): BatchJob => ({
        job: work.job,
        signal: work.controller.signal,
        report: (report) => this.report(work, report),
        onSession: (uploadId) => this.uploadIds.set(work.job.id, uploadId),
      }),
    );
    const reportAll = (report: Report) => {
      for (const work of batch) this.report(work, report);
    };
    // The batch ends early only when all its members were stopped.
    for (const { controller } of batch) {
      const check = () =>
        batch.every((work) => work.hasEnded) && local.abort(new DOMException("Stopped", "AbortError"));
      controller.signal.addEventListener("abort", check, { once: true });
    }
    const handedBack = new Set<Work>();
    try {
      const context = { ...this.makeContext(batch[0] as Work, local.signal), report: reportAll };
      for (const { job } of await sendBatch(context, members)) {
        const work = ofJob.get(job.id);
        if (work && !work.hasEnded) handedBack.add(work);
      }
    } catch (error) {
      for (const work of batch) this.fail(work, error);
    }
    for (const work of batch) {
      if (handedBack.has(work)) work.isAlone = true;
      else this.finish(work);
    }
    this.queue.unshift(...handedBack);
  }

  private async runAlone(work: Work | undefined): Promise<void> {
    if (!work) return;
    try {
      const last = await transferFile(this.makeContext(work, work.controller.signal), work.job);
      this.report(work, last);
    } catch (error) {
      this.fail(work, error);
    } finally {
      this.finish(work);
    }
  }

  private makeContext(work: Work, signal: AbortSignal): TransferContext {
    const { options, sessions, lanes } = this;
    const isLink = options.target.kind === "link";
    return {
      sessions,
      lanes,
      signal,
      put: options.put,
      connectivity: options.connectivity,
      report: (report) => this.report(work, report),
      onSession: (uploadId) => {
        if (uploadId === null) this.uploadIds.delete(work.job.id);
        else this.uploadIds.set(work.job.id, uploadId);
        options.onSession(work.job, uploadId);
      },
      decide: (...asked) => orAborted(options.decide(...asked), signal),
      findFolder: async ({ parentId, folders: names }) =>
        isLink ? null : orAborted(this.makeFolder({ parentId, names }), signal),
      withLock: async (uploadId, onBusy, run) => {
        const outcome = { value: null as Awaited<ReturnType<typeof run>> | null };
        await options.lock(uploadId, onBusy, signal, async () => {
          outcome.value = await run();
        });
        return outcome.value as Awaited<ReturnType<typeof run>>;
      },
    };
  }

  private report(work: Work, report: Report): void {
    if (work.hasEnded) return;
    if (report.type === "done") this.uploadIds.delete(work.job.id);
    if (report.type === "done" || report.type === "failed" || report.type === "skipped") work.hasEnded = true;
    this.options.onReport(work.job, report);
  }

  private fail(work: Work, error: unknown): void {
    this.report(work, { type: "failed", failure: describeFailure(error) });
  }

  private finish(work: Work): void {
    if (this.work.get(work.job.id) === work) this.work.delete(work.job.id);
    work.finished.resolve();
  }
}
