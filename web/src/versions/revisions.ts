// The revisions of a file, and their changes.

import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type RemoteFile, type Schemas, signDownload } from "dropbox-api-client";
import { client } from "../lib/client.ts";
import { formatMoment } from "../lib/format.ts";
import { t } from "../lib/i18n.ts";
import { keys } from "../lib/keys.ts";
import { notifyDone, notifyError } from "../lib/notify.tsx";
import { usePages } from "../lib/pages.ts";
import { saveUrl } from "../lib/saveUrl.ts";
import { offerUndo } from "../lib/undo.tsx";

type Revision = Schemas["Revision"];

export function useRevisions({ id, kind }: RemoteFile) {
  return usePages(
    keys.revisions(id),
    (page, signal) => {
      return client.api.GET("/v1/files/{file_id}/revisions", {
        params: { path: { file_id: id }, query: page },
        signal,
      });
    },
    { enabled: kind === "file" },
  );
}

export function useVersionActions(file: RemoteFile, revision: Revision) {
  const queryClient = useQueryClient();
  const refresh = () =>
    Promise.all(
      [keys.revisions(file.id), keys.file(file.id), keys.folders()].map((queryKey) =>
        queryClient.invalidateQueries({ queryKey }),
      ),
    );

  const restoreRevision = async (id: string) => {
    const params = { path: { file_id: file.id, revision_id: id } };
    await client.api.POST("/v1/files/{file_id}/revisions/{revision_id}/restore", { params });
    await refresh();
  };
  const onError = (error: Error) => notifyError(error);

  const restore = useMutation({
    mutationFn: async (_before: string | null) => restoreRevision(revision.id),
    onError,
    onSuccess: (_, before) => {
      offerUndo({
        text: t("versions.restored", { when: formatMoment(revision.created_at) }),
        undo: async () => {
          if (before !== null) await restoreRevision(before);
        },
      });
    },
  });

  const pin = useMutation({
    mutationFn: (pinned: boolean) => {
      const params = { path: { file_id: file.id, revision_id: revision.id } };
      return client.api.PATCH("/v1/files/{file_id}/revisions/{revision_id}", { params, body: { pinned } });
    },
    onError,
    onSuccess: (_, pinned) => notifyDone(t(pinned ? "versions.keptNow" : "versions.unkeptNow")),
    onSettled: refresh,
  });

  const download = useMutation({
    mutationFn: () => signDownload(client, { fileId: file.id, revisionId: revision.id }),
    onError,
    onSuccess: ({ url }) => saveUrl(url),
  });

  return {
    // The file changes meanwhile: an undo needs the revision that was current at the click.
    restore: () => restore.mutate(file.revision_id),
    isRestoring: restore.isPending,
    setPinned: (pinned: boolean) => pin.mutate(pinned),
    download: () => download.mutate(),
  };
}
