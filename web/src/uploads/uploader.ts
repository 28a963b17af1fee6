// The uploads of this tab: one uploader, which outlives the pages.

import type { RemoteFile } from "dropbox-api-client";
import {
  type Conflict,
  createUploader,
  type Decision,
  isRunning,
  readDrop,
  type Uploader,
  type UploadSnapshot,
  type UploadTree,
} from "dropbox-api-client/upload";
import { useSyncExternalStore } from "react";
import { askConflict } from "../files/conflicts.ts";
import { client, currentUserId, onLeave, queryClient, session } from "../lib/client.ts";
import { keys } from "../lib/keys.ts";
import { notifyError } from "../lib/notify.tsx";

/** How often pages show the progress; more often is not readable. */
const SHOWN_MS = 200;
const REFRESHED_MS = 1000;

let uploader: Uploader | null = null;
let shown: UploadSnapshot | null = null;
const listeners = new Set<() => void>();

/** Return the uploader; the first call continues the uploads of the last visit. */
export function getUploader(): Uploader {
  if (uploader) return uploader;
  const owner = currentUserId();
  uploader = createUploader({ client, onConflict: decide, ...(owner !== null && { owner }) });
  publishFrom(uploader);
  refreshListsFrom(uploader);
  resumeAfterSignIn(uploader);
  onLeave((departure) => uploader?.close({ forget: departure === "sign-out" }));
  return uploader;
}

export function useUploads(): UploadSnapshot {
  return useSyncExternalStore(subscribe, () => (shown ??= getUploader().getSnapshot()));
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Upload what was dropped or pasted; call it in the event itself. */
export async function uploadDrop(transfer: DataTransfer, folder: RemoteFile): Promise<void> {
  await uploadTree(readDrop(transfer), folder.id);
}

export async function uploadTree(
  tree: UploadTree | Iterable<File> | Promise<UploadTree>,
  parentId: string | null,
): Promise<void> {
  try {
    await getUploader().add(await tree, { parentId });
  } catch (error) {
    notifyError(error);
  }
}

async function decide({ item }: Conflict): Promise<Decision> {
  const { choice, isForAll } = await askConflict({ name: item.name, count: null });
  return isForAll ? { choice, forAll: true } : choice;
}

function publishFrom(source: Uploader): void {
  let isDue = false;
  const publish = () => {
    isDue = false;
    shown = source.getSnapshot();
    for (const listener of listeners) listener();
  };
  source.subscribe(() => {
    if (!isDue) setTimeout(publish, SHOWN_MS);
    isDue = true;
  });
}

/** Show what was uploaded in the lists of its folders at once. */
function refreshListsFrom(source: Uploader): void {
  let counted = 0;
  let timer: ReturnType<typeof setTimeout> | null = null;
  const refresh = async () => {
    const { items } = source.getSnapshot();
    counted = countDone(items);
    const folders = new Set(items.map(({ parentId }) => parentId));
    await Promise.all(
      [...folders]
        .map((id) => queryClient.invalidateQueries({ queryKey: keys.folder(id) }))
        .concat(
          queryClient.invalidateQueries({ queryKey: keys.recent() }),
          queryClient.invalidateQueries({ queryKey: keys.me() }),
        ),
    );
    timer = null;
    check();
  };
  const check = () => {
    if (timer === null && countDone(source.getSnapshot().items) !== counted) {
      timer = setTimeout(() => void refresh(), counted ? REFRESHED_MS : 0);
    }
  };
  source.subscribe(check);
}

function countDone(items: UploadSnapshot["items"]): number {
  return items.reduce((count, { status }) => (status === "done" ? count + 1 : count), 0);
}

/** Uploads that ended with the session go on with the next one: each once, for some notice its end only then. */
function resumeAfterSignIn(source: Uploader): void {
  const retried = new Set<string>();
  const resume = () => {
    if (session.state.status !== "signed-in") {
      retried.clear();
      return;
    }
    for (const { id, failure } of source.getSnapshot().items) {
      if (failure?.code !== "unauthenticated" || retried.has(id)) continue;
      retried.add(id);
      source.retry(id);
    }
  };
  session.subscribe(resume);
  source.subscribe(resume);
}

/** How many uploads of this browser a sign-out would lose. */
export function countUnfinished(): number {
  const { items } = getUploader().getSnapshot();
  return items.filter((item) => isRunning(item) || item.status === "paused").length;
}

const CANCEL_MS = 5000;

/** Cancel all uploads, at the server, too, if it answers soon. */
export async function cancelUploads(): Promise<void> {
  const cancelled = getUploader().cancelAll();
  await Promise.race([cancelled, new Promise((resolve) => setTimeout(resolve, CANCEL_MS))]);
}
