// What the details of a conflict copy say: where it is from, and what to do with it and its original.

import { Anchor, Badge, Button, Group, Paper, Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import type { RemoteFile } from "dropbox-api-client";
import { client } from "../lib/client.ts";
import { useFile } from "../lib/file.ts";
import { formatBytes, formatMoment } from "../lib/format.ts";
import { t } from "../lib/i18n.ts";
import { keys } from "../lib/keys.ts";
import { notifyError } from "../lib/notify.tsx";
import { useOpenDialog } from "../shell/dialogs.tsx";
import { keepConflictCopy, renameFile, trashFiles } from "./changes.tsx";
import { type ConflictName, formatConflictDay } from "./conflictNames.ts";
import classes from "./files.module.css";

interface ConflictCopyProps {
  file: RemoteFile;
  copy: ConflictName;
  onClose: () => void;
}

export function ConflictCopy({ file, copy, onClose }: ConflictCopyProps) {
  const { plain, device, day } = copy;
  const { data: namesake } = useNamesake(file, plain);
  const original = useFile(namesake?.kind === "file" ? namesake.id : null).data;
  const canChange = file.role !== "viewer" && file.parent_id !== null;
  /** The dialog of a file that goes to the trash is closed before. */
  const run = (action: () => Promise<unknown>) => () => {
    onClose();
    action().catch(notifyError);
  };
  const isSame = original !== undefined && original.fingerprint !== null && original.fingerprint === file.fingerprint;
  return (
    <Paper component="section" aria-label={t("conflictCopy.badge")} withBorder p="md">
      <Stack gap="sm" align="flex-start">
        <Badge variant="light" color="orange">
          {t("conflictCopy.badge")}
        </Badge>
        <Text size="sm" className={classes.anywhere}>
          {t("conflictCopy.text", { device, day: formatConflictDay(day), plain })}
        </Text>
        <Version file={file} label={t("conflictCopy.this")} action={t("conflictCopy.openThis")} />
        {original && (
          <Version file={original} label={t("conflictCopy.original")} action={t("conflictCopy.openOriginal")} />
        )}
        {namesake === null && <Text size="sm">{t("conflictCopy.noOriginal", { plain })}</Text>}
        {isSame && <Text size="sm">{t("conflictCopy.same")}</Text>}
        {canChange && (
          <Group gap="sm">
            {original && !isSame && (
              <Button variant="default" size="xs" onClick={run(() => keepConflictCopy(file, original))}>
                {t("conflictCopy.keep")}
              </Button>
            )}
            {namesake === null && (
              <Button variant="default" size="xs" onClick={run(() => renameFile(file, plain))}>
                {t("conflictCopy.rename")}
              </Button>
            )}
            <Button variant="default" size="xs" onClick={run(() => trashFiles([file]))}>
              {t("conflictCopy.delete")}
            </Button>
          </Group>
        )}
      </Stack>
    </Paper>
  );
}

function Version({ file, label, action }: { file: RemoteFile; label: string; action: string }) {
  const openDialog = useOpenDialog();
  return (
    <Group gap="xs" w="100%" justify="space-between">
      <Text size="sm">
        {label}
        <Text span c="dimmed" inherit>
          {" · "}
          {formatBytes(file.size_bytes ?? 0)} · {formatMoment(file.modified_at)}
        </Text>
      </Text>
      <Anchor component="button" type="button" size="sm" onClick={() => openDialog("preview", file.id)}>
        {action}
      </Anchor>
    </Group>
  );
}

/** What has a name in the folder of a file; null: nothing. */
function useNamesake({ parent_id }: RemoteFile, name: string) {
  return useQuery({
    queryKey: [...keys.folder(parent_id), "namesake", name],
    queryFn: async ({ signal }) => {
      const params = { path: { file_id: parent_id ?? "" } };
      const { data } = await client.api.POST("/v1/files/{file_id}/names", { params, body: { names: [name] }, signal });
      // A list, in which live updates find what leaves the folder.
      return { items: data.items.flatMap(({ existing }) => existing ?? []) };
    },
    select: ({ items }) => items[0] ?? null,
    enabled: parent_id !== null,
  });
}
