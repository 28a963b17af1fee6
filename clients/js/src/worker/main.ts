// The dedicated worker: hashes and sends, so that the page's own thread stays free.

import { createClient } from "../api.ts";
import { getLocks, holdTab } from "../tabs.ts";
import { fetchWithin } from "../transport.ts";
import { Connectivity } from "../upload/connectivity.ts";
import { describeFailure } from "../upload/errors.ts";
import { Runner } from "../upload/runner.ts";
import type { Choice } from "../upload/transfer.ts";
import type { FromWorker, Question, Told, ToWorker } from "./messages.ts";
import { putPart } from "./put.ts";

/** Reports are collected for this long, the last one of each upload counts. */
const REPORT_MS = 50;
/** A call that hangs is made again after this time. The server answers within 20 s. */
const ANSWER_MS = 60_000;

const connectivity = new Connectivity();
const questions = new Map<number, PromiseWithResolvers<unknown>>();
const reports = new Map<string, Told>();
let runner: Runner | null = null;

function post(message: FromWorker): void {
  self.postMessage(message);
}

function ask(question: Question): Promise<unknown> {
  const answer = Promise.withResolvers<unknown>();
  const number = questions.size ? Math.max(...questions.keys()) + 1 : 1;
  questions.set(number, answer);
  post({ type: "question", number, question });
  return answer.promise;
}

function tell(told: Told): void {
  reports.set(told.id, told);
  if (reports.size === 1) setTimeout(postReports, REPORT_MS);
}

function postReports(): void {
  post({ type: "reports", reports: [...reports.values()] });
  reports.clear();
}

/** Run while no other tab, and no other upload of this one, works on the session. */
async function lock(id: string, onBusy: () => void, signal: AbortSignal, run: () => Promise<void>): Promise<void> {
  const { locks } = navigator;
  if (!locks) return run(); // a page without https
  const name = `dropbox-api-upload-${id}`;
  const isFree = await locks.request(name, { ifAvailable: true }, async (lock) => {
    if (lock) await run();
    return lock !== null;
  });
  if (isFree) return;
  onBusy();
  await locks.request(name, { signal }, run);
}

function open({ baseUrl, target, isOnline }: Extract<ToWorker, { type: "open" }>): Runner {
  connectivity.setOnline(isOnline);
  const getToken = async (refused?: string) =>
    (await ask({ type: "token", refused: refused ?? null })) as string | null;
  return new Runner({
    client: createClient({
      baseUrl,
      auth: () => ({ getToken, link: target.kind === "link" ? target.token : undefined }),
      fetch: fetchWithin(ANSWER_MS),
    }),
    target,
    put: putPart,
    connectivity,
    lock,
    onReport: ({ id, run }, report) => tell({ id, run, report }),
    onSession: ({ id, run }, uploadId) => post({ type: "session", id, run, uploadId }),
    decide: async ({ id, run }, fileId) => (await ask({ type: "decide", id, run, fileId })) as Choice,
  });
}

async function makeFolders({ paths, folders }: Extract<ToWorker, { type: "make-folders" }>): Promise<void> {
  await runner?.makeFolders([...paths, ...folders.map(({ path }) => path)]);
  for (const { id, run, path } of folders) {
    try {
      tell({ id, run, report: { type: "done", fileId: (await runner?.makeFolder(path)) ?? null } });
    } catch (error) {
      tell({ id, run, report: { type: "failed", failure: describeFailure(error) } });
    }
  }
}

async function cancel(id: string, uploadId: string | null): Promise<void> {
  await runner?.cancel(id, uploadId).catch(() => undefined); // the session expires by itself
  post({ type: "cancelled", id });
}

/** Hold a lock until the end, which the page notices by it. */
async function hold(name: string): Promise<void> {
  await holdTab(name, new Promise(() => undefined));
  post({ type: "held", name });
}

function receive(message: ToWorker): void {
  switch (message.type) {
    case "open":
      runner = open(message);
      if (getLocks()) void hold(message.name);
      runner.sessions.readLimits().catch(() => undefined); // now, so that the first file need not wait for them
      break;
    case "run":
      void runner?.run(message.jobs);
      break;
    case "stop":
      for (const id of message.ids) runner?.stop(id);
      break;
    case "cancel":
      void cancel(message.id, message.uploadId);
      break;
    case "make-folders":
      void makeFolders(message);
      break;
    case "online":
      connectivity.setOnline(message.isOnline);
      break;
    case "answer": {
      const question = questions.get(message.question);
      questions.delete(message.question);
      if (message.error === null) question?.resolve(message.value);
      else question?.reject(new Error(message.error));
    }
  }
}

self.onmessage = ({ data }: MessageEvent<ToWorker>) => receive(data);
