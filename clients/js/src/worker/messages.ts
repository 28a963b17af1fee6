// What the page and its worker tell each other.

import type { FolderPath } from "../upload/folders.ts";
import type { Job, Target } from "../upload/job.ts";
import type { Report } from "../upload/machine.ts";

export type ToWorker =
  /** `name` is that of the lock that the worker holds while it lives. */
  | { type: "open"; name: string; baseUrl: string; target: Target; isOnline: boolean }
  | { type: "run"; jobs: readonly Job[] }
  | { type: "stop"; ids: readonly string[] }
  | { type: "cancel"; id: string; uploadId: string | null }
  /** `paths` are on the way to files; `folders` are uploads of their own, as empty folders are. */
  | { type: "make-folders"; paths: readonly FolderPath[]; folders: readonly FolderUpload[] }
  | { type: "online"; isOnline: boolean }
  | { type: "answer"; question: number; value: unknown; error: string | null };

export interface FolderUpload {
  id: string;
  run: number;
  path: FolderPath;
}

export interface Told {
  id: string;
  run: number;
  report: Report;
}

export type Question =
  | { type: "token"; refused: string | null }
  | { type: "decide"; id: string; run: number; fileId: string | null };

export type FromWorker =
  /** The worker holds the lock of its name. */
  | { type: "held"; name: string }
  | { type: "reports"; reports: readonly Told[] }
  | { type: "session"; id: string; run: number; uploadId: string | null }
  /** The server has ended a cancelled upload, or cannot. */
  | { type: "cancelled"; id: string }
  | { type: "question"; number: number; question: Question };
