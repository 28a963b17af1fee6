// The trash: what is in it, and its changes.

import type { QueryKey } from "@tanstack/react-query";
import { isProblem, type RemoteFile } from "dropbox-api-client";
import { type Change, type Outcome, runChanges } from "../files/operations.ts";
import { client, queryClient } from "../lib/client.ts";
import { t } from "../lib/i18n.ts";
import { keys } from "../lib/keys.ts";
import { notifyDone, notifyError } from "../lib/notify.tsx";
import { usePages } from "../lib/pages.ts";
import { offerUndo } from "../lib/undo.tsx";

type Files = readonly RemoteFile[];
const PAGE = 200;
/** The job runs every few seconds, and many files take it longer. */
const FREED_MS = [2000, 4000, 8000, 16_000, 32_000];

export function useTrash() {
  return usePages(keys.trash(), (page, signal) => {
    return client.api.GET("/v1/trash", { params: { query: { ...page, limit: PAGE } }, signal });
  });
}

/** Restore files, tell the names and failures, and offer to undo it. Returns the files whose old folder is gone. */
export async function restoreFiles(files: Files, parentId: string | null = null): Promise<Files> {
  const outcome = await runChanges(
    files.map((file) => ({
      file,
      operation: { op: "restore", file_id: file.id, on_conflict: "rename", parent_id: parentId },
    })),
  );
  await refresh();
  tellRestored(outcome);
  const isHomeless = ({ problem }: Outcome["refused"][number]) => isProblem(problem, "parent-gone");
  tellFailed(
    "trash.restoreFailed",
    outcome.refused.filter((item) => !isHomeless(item)),
  );
  const homeless = new Set(outcome.refused.filter(isHomeless).map(({ file }) => file.id));
  return files.filter(({ id }) => homeless.has(id));
}

/** Return the id of the top folder of the caller's files. */
export async function findTopFolder(): Promise<string> {
  return (await client.api.GET("/v1/files/by-path", { params: { query: { path: "/" } } })).data.id;
}

/** Delete files for good, one request each. */
export async function purgeFiles(files: Files): Promise<void> {
  const refused: Outcome["refused"] = [];
  let count = 0;
  for (const file of files) {
    try {
      await client.api.DELETE("/v1/trash/{file_id}", { params: { path: { file_id: file.id } } });
      count += 1;
    } catch (error) {
      refused.push({ file, operation: { op: "trash", file_id: file.id, force: false }, problem: error as Error });
    }
  }
  await refresh();
  if (count > 0) {
    notifyDone(t("trash.purged", { count, name: files[0]?.name ?? "" }));
    void showFreedSpace();
  }
  tellFailed("trash.purgeFailed", refused);
}

export async function emptyTrash(): Promise<void> {
  await client.api.DELETE("/v1/trash");
  await refresh();
  notifyDone(t("trash.emptied"));
  void showFreedSpace();
}

/** Show the space that deleted files took as soon as a job of the server has freed it: no event tells of it. */
async function showFreedSpace(): Promise<void> {
  for (const waitMs of FREED_MS) {
    await new Promise((resolve) => setTimeout(resolve, waitMs));
    await refreshAll([keys.storage(), keys.me()]);
  }
}

function tellRestored({ done }: Outcome): void {
  const [first] = done;
  if (!first) return;
  const count = done.length;
  const isRenamed = done.some(({ file, result }) => result !== null && result.name !== file.name);
  const names = { name: first.file.name, newName: first.result?.name ?? first.file.name };
  offerUndo({
    text: isRenamed ? t("trash.renamed", { count, ...names }) : t("trash.restored", { count, name: names.name }),
    undo: async () => {
      const back = done.map(
        ({ file }): Change => ({ file, operation: { op: "trash", file_id: file.id, force: true } }),
      );
      tellFailed("trash.undoFailed", (await runChanges(back)).refused);
      await refresh();
    },
  });
}

function tellFailed(
  title: "trash.restoreFailed" | "trash.purgeFailed" | "trash.undoFailed",
  refused: Outcome["refused"],
): void {
  const [first] = refused;
  if (!first) return;
  notifyError(first.problem, t(title, { count: refused.length, name: first.file.name }));
}

function refresh(): Promise<void> {
  return refreshAll([keys.trash(), keys.folders(), keys.storage(), keys.me()]);
}

async function refreshAll(changed: QueryKey[]): Promise<void> {
  await Promise.all(changed.map((queryKey) => queryClient.invalidateQueries({ queryKey })));
}
