// What the commands of the file browser do: each tells what it did, and offers to undo it.

import { Button, Group, Progress, Stack, Text } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { createArchiveUrl, isProblem, type RemoteFile, signDownload } from "dropbox-api-client";
import { client, queryClient } from "../lib/client.ts";
import { t } from "../lib/i18n.ts";
import { keys } from "../lib/keys.ts";
import { notifyError } from "../lib/notify.tsx";
import { describeError } from "../lib/problems.ts";
import { saveUrl } from "../lib/saveUrl.ts";
import { offerUndo } from "../lib/undo.tsx";
import { getUploader } from "../uploads/uploader.ts";
import { askConflict } from "./conflicts.ts";
import classes from "./files.module.css";
import { patchListings } from "./listing.ts";
import { type Change, type Done, type Operation, type Refused, runChanges } from "./operations.ts";

type Files = readonly RemoteFile[];
type Folder = Pick<RemoteFile, "id" | "name" | "owner">;

/** Fewer changes than this are over before a progress bar could be read. */
const SHOWN_FROM = 100;
const SHOWN_FAILURES = 100;
/** Of `POST /v1/archives`. */
const ARCHIVE_ITEMS = 1000;

export async function trashFiles(files: Files): Promise<void> {
  const leaving = new Set(files.map(({ id }) => id));
  patchListings((shown) => shown.filter(({ id }) => !leaving.has(id)));
  const { done } = await run(
    files.map((file) => ({ file, operation: { op: "trash", file_id: file.id, force: false } })),
    (count) => t("files.progress.trash", { count }),
  );
  if (!done.length) return;
  offerUndo({
    text: t("files.trashed", describe(done)),
    undo: () => restoreFiles(done),
  });
}

async function restoreFiles(done: readonly Done[]): Promise<void> {
  await run(
    done.map(({ file }) => ({ file, operation: { op: "restore", file_id: file.id, on_conflict: "rename" } })),
    (count) => t("files.progress.restore", { count }),
  );
}

export async function moveFiles(files: Files, folder: Folder): Promise<void> {
  const moved = files.filter(({ parent_id, id }) => parent_id !== folder.id && id !== folder.id);
  if (!moved.length) return;
  const leaving = new Set(moved.map(({ id }) => id));
  patchListings((shown) => shown.filter(({ id }) => !leaving.has(id)));
  const parents = new Map(moved.map(({ id, parent_id, name }) => [id, { parent_id, name }]));
  const done = await runWithConflicts(
    moved,
    (file, on_conflict) => ({ op: "move", file_id: file.id, parent_id: folder.id, on_conflict }),
    (count) => t("files.progress.move", { count }),
  );
  if (!done.length) return;
  offerUndo({
    text: t("files.moved", { ...describe(done), folder: nameOf(folder) }),
    undo: async () => {
      const back = done.map(({ file }): Change => {
        const { parent_id = null, name = file.name } = parents.get(file.id) ?? {};
        return { file, operation: { op: "move", file_id: file.id, parent_id, name, on_conflict: "rename" } };
      });
      await run(back, (count) => t("files.progress.move", { count }));
    },
  });
}

export async function copyFiles(files: Files, folder: Folder): Promise<void> {
  const [foreign, own] = [
    files.filter((file) => file.owner !== folder.owner),
    files.filter((file) => file.owner === folder.owner),
  ];
  await copyForeign(foreign, folder);
  if (!own.length) return;
  const isDuplicate = own.every(({ parent_id }) => parent_id === folder.id);
  const make = (file: RemoteFile, on_conflict: "fail" | "rename" | "replace"): Operation => {
    return { op: "copy", file_id: file.id, parent_id: folder.id, on_conflict: isDuplicate ? "rename" : on_conflict };
  };
  const done = await runWithConflicts(own, make, (count) => t("files.progress.copy", { count }));
  if (!done.length) return;
  const copies = done.flatMap(({ result }) => (result ? [result] : []));
  offerUndo({
    text: t("files.copied", { ...describe(done), folder: nameOf(folder) }),
    undo: async () => {
      const trash = copies.map((file): Change => ({ file, operation: { op: "trash", file_id: file.id, force: true } }));
      await run(trash, (count) => t("files.progress.trash", { count }));
    },
  });
}

/** Copy files of another owner: the server does it by and by. */
async function copyForeign(files: Files, folder: Folder): Promise<void> {
  if (!files.length) return;
  const refused: Refused[] = [];
  for (const file of files) {
    try {
      await client.api.POST("/v1/copies", { body: { file_id: file.id, parent_id: folder.id } });
    } catch (error) {
      refused.push({ file, operation: { op: "copy", file_id: file.id }, problem: error as Error });
    }
  }
  showRefused(refused);
  const count = files.length - refused.length;
  if (count) notifications.show({ message: t("files.copying", { count, folder: nameOf(folder) }) });
}

/** Make the content of a conflict copy the newest version of its original, and move the copy to the trash. */
export async function keepConflictCopy(copy: RemoteFile, original: RemoteFile): Promise<void> {
  const { id: file_id, parent_id, etag: if_match } = copy;
  const replace: Change = {
    file: original,
    operation: { op: "copy", file_id, parent_id, name: original.name, on_conflict: "replace", if_match },
  };
  const { done: replaced } = await run([replace], (count) => t("files.progress.copy", { count }));
  if (!replaced.length) return; // the copy stays
  const trash: Change = { file: copy, operation: { op: "trash", file_id, if_match, force: false } };
  const { done } = await run([trash], (count) => t("files.progress.trash", { count }));
  offerUndo({
    text: t("conflictCopy.kept", { name: original.name }),
    undo: async () => {
      await restoreFiles(done);
      const path = { file_id: original.id, revision_id: original.revision_id ?? "" };
      await client.api.POST("/v1/files/{file_id}/revisions/{revision_id}/restore", { params: { path } });
      await refreshFiles();
    },
  });
}

/** Rename a file; throws what the server refuses, for the field to show. */
export async function renameFile(file: RemoteFile, name: string): Promise<void> {
  const path = { file_id: file.id };
  const { data } = await client.api.PATCH("/v1/files/{file_id}", { params: { path }, body: { name } });
  patchListings((shown) => shown.map((other) => (other.id === file.id ? { ...other, name: data.name } : other)));
  await refreshFiles();
  offerUndo({
    text: t("files.renamed", { name: data.name }),
    undo: async () => {
      await client.api.PATCH("/v1/files/{file_id}", { params: { path }, body: { name: file.name } });
      await refreshFiles();
    },
  });
}

/** Make a folder; throws what the server refuses, for the field to show. */
export async function createFolder(name: string, parentId: string | null): Promise<RemoteFile> {
  const { data } = await client.api.POST("/v1/folders", { body: { name, parent_id: parentId } });
  await refreshFiles();
  return data;
}

/** Let the browser save one file, or several as a zip. */
export async function downloadFiles(files: Files): Promise<void> {
  const [first] = files;
  if (!first) return;
  try {
    if (files.length > ARCHIVE_ITEMS) {
      notifications.show({ color: "red", message: t("files.tooManyToDownload", { count: ARCHIVE_ITEMS }) });
      return;
    }
    const isOne = files.length === 1 && first.kind === "file";
    const url = isOne
      ? (await signDownload(client, { fileId: first.id })).url
      : await createArchiveUrl(client, { ids: files.map(({ id }) => id) });
    saveUrl(url, getUploader().getSnapshot().isRunning ? "tab" : "here");
  } catch (error) {
    notifyError(error);
  }
}

const LISTS = [keys.folders, keys.files, keys.recent, keys.searches, keys.trash, keys.storage];

/** Read again what pages show of files. */
export async function refreshFiles(): Promise<void> {
  await Promise.all(LISTS.map((key) => queryClient.invalidateQueries({ queryKey: key() })));
}

type Label = (count: number) => string;

/** Run changes, show how far they are and what was refused. */
async function run(changes: readonly Change[], label: Label): Promise<{ done: Done[] }> {
  const { done, refused } = await runShown(changes, label);
  showRefused(refused);
  await refreshFiles();
  return { done };
}

/** Run changes, and those whose name is taken once more as the person decides. */
async function runWithConflicts(
  files: Files,
  make: (file: RemoteFile, onConflict: "fail" | "rename" | "replace") => Operation,
  label: Label,
): Promise<Done[]> {
  const { done, refused } = await runShown(
    files.map((file) => ({ file, operation: make(file, "fail") })),
    label,
  );
  const isTaken = ({ problem }: Refused) => isProblem(problem, "name-taken");
  const taken = new Set(refused.filter(isTaken).map(({ file }) => file.id));
  const again = files.filter(({ id }) => taken.has(id));
  showRefused(refused.filter((item) => !isTaken(item)));
  if (again.length) {
    await refreshFiles();
    const { choice } = await askConflict({ name: again[0]?.name ?? "", count: again.length });
    if (choice !== "skip") {
      const second = await runShown(
        again.map((file) => ({ file, operation: make(file, choice) })),
        label,
      );
      showRefused(second.refused);
      done.push(...second.done);
    }
  }
  await refreshFiles();
  return done;
}

async function runShown(changes: readonly Change[], label: Label) {
  if (changes.length < SHOWN_FROM) return runChanges(changes);
  const stop = new AbortController();
  const show = (count: number) => (
    <Stack gap="sm">
      <Progress value={Math.floor((100 * count) / changes.length)} aria-label={label(changes.length)} />
      <Group justify="space-between">
        <Text size="sm">{t("files.progress.count", { done: count, count: changes.length })}</Text>
        <Button size="compact-sm" variant="subtle" onClick={() => stop.abort()}>
          {t("files.cancel")}
        </Button>
      </Group>
    </Stack>
  );
  const settings = { title: label(changes.length), autoClose: false, withCloseButton: false } as const;
  const id = notifications.show({ ...settings, message: show(0) });
  const onProgress = (count: number) => notifications.update({ id, ...settings, message: show(count) });
  try {
    return await runChanges(changes, { signal: stop.signal, onProgress });
  } finally {
    notifications.hide(id);
  }
}

function showRefused(refused: readonly Refused[]): void {
  if (!refused.length) return;
  const message = (
    <ul className={classes.refused}>
      {refused.slice(0, SHOWN_FAILURES).map(({ file, problem }) => (
        <li key={file.id}>
          {file.name}: {describeError(problem)}
        </li>
      ))}
      {refused.length > SHOWN_FAILURES && <li>{t("files.more", { count: refused.length - SHOWN_FAILURES })}</li>}
    </ul>
  );
  notifications.show({ color: "red", autoClose: false, title: t("files.refused", { count: refused.length }), message });
}

function describe(done: readonly Done[]): { count: number; name: string } {
  return { count: done.length, name: done[0]?.file.name ?? "" };
}

function nameOf({ name }: Pick<Folder, "name">): string {
  return name || t("files.root");
}
