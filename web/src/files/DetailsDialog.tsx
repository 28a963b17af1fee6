import { Stack, Table } from "@mantine/core";
import type { RemoteFile } from "dropbox-api-client";
import { formatBytes, formatMoment } from "../lib/format.ts";
import { t } from "../lib/i18n.ts";
import type { DialogProps } from "../room.ts";
import { ConflictCopy } from "./ConflictCopy.tsx";
import { findConflict } from "./conflictNames.ts";
import { FileDialog } from "./FileDialog.tsx";
import { FileIcon } from "./FileIcon.tsx";
import classes from "./files.module.css";

export default function DetailsDialog({ value, onClose }: DialogProps) {
  return (
    <FileDialog id={value} title={() => t("files.details")} onClose={onClose}>
      {(file) => <Details file={file} onClose={onClose} />}
    </FileDialog>
  );
}

function Details({ file, onClose }: { file: RemoteFile; onClose: () => void }) {
  const copy = findConflict(file);
  const rows: [string, string | null][] = [
    [t("files.column.name"), file.name],
    [t("files.place"), file.path],
    [t("files.type"), file.kind === "folder" ? t("files.folder") : file.content_type],
    [t("files.column.size"), file.size_bytes === null ? null : formatBytes(file.size_bytes)],
    [t("files.column.modified"), formatMoment(file.modified_at)],
    [t("files.created"), formatMoment(file.created_at)],
    [t("files.owner"), file.owner_name ?? file.owner],
    [t("files.fingerprint"), file.fingerprint],
  ];
  return (
    <Stack>
      <div className={classes.detailsImage}>
        <FileIcon file={file} size={file.thumbnails ? 160 : 64} />
      </div>
      {copy && <ConflictCopy file={file} copy={copy} onClose={onClose} />}
      <Table variant="vertical" layout="fixed">
        <Table.Tbody>
          {rows.map(
            ([label, text]) =>
              text !== null && (
                <Table.Tr key={label}>
                  <Table.Th w={120}>{label}</Table.Th>
                  <Table.Td className={classes.anywhere}>{text}</Table.Td>
                </Table.Tr>
              ),
          )}
        </Table.Tbody>
      </Table>
    </Stack>
  );
}
