// `?versions=ID`: the revisions of a file.

import { ActionIcon, Badge, Button, Group, Menu, Stack, Text } from "@mantine/core";
import type { RemoteFile, Schemas } from "dropbox-api-client";
import { Download, MoreVertical, Pin, PinOff, RotateCcw } from "lucide-react";
import { FileDialog } from "../files/FileDialog.tsx";
import { formatBytes, formatMoment } from "../lib/format.ts";
import { t } from "../lib/i18n.ts";
import type { DialogProps } from "../room.ts";
import { EmptyState } from "../ui/EmptyState.tsx";
import lists from "../ui/lists.module.css";
import { PagedList } from "../ui/PagedList.tsx";
import { useRevisions, useVersionActions } from "./revisions.ts";

type Revision = Schemas["Revision"];

export default function VersionsDialog({ value, onClose }: DialogProps) {
  return (
    <FileDialog id={value} title={({ name }) => t("versions.title", { name })} onClose={onClose}>
      {(file) => <Revisions file={file} />}
    </FileDialog>
  );
}

function Revisions({ file }: { file: RemoteFile }) {
  const pages = useRevisions(file);
  const empty = { title: t("versions.folder"), text: t("versions.folderHint") };
  if (file.kind === "folder") return <EmptyState icon={RotateCcw} {...empty} />;
  return (
    <Stack gap="sm">
      <Text size="sm" c="dimmed">
        {t("versions.hint")}
      </Text>
      <PagedList pages={pages} empty={{ icon: RotateCcw, ...empty }}>
        {(revisions) => (
          <Stack component="ul" gap={0} className={lists.plain}>
            {revisions.map((revision) => (
              <RevisionRow key={revision.id} file={file} revision={revision} />
            ))}
          </Stack>
        )}
      </PagedList>
    </Stack>
  );
}

function RevisionRow({ file, revision }: { file: RemoteFile; revision: Revision }) {
  const when = formatMoment(revision.created_at);
  const who = revision.author_name ?? revision.author;
  const { restore, isRestoring, setPinned, download } = useVersionActions(file, revision);
  const canChange = file.role !== "viewer";
  return (
    <Group component="li" wrap="nowrap" gap="sm" py="xs">
      <div className={lists.grow}>
        <Group gap={6}>
          <Text size="sm" fw={500}>
            {when}
          </Text>
          {revision.is_head ? <Badge size="sm">{t("versions.current")}</Badge> : null}
          {revision.pinned ? <Mark text={t("versions.kept")} /> : null}
          <ContentMark revision={revision} />
        </Group>
        <Text size="xs" c="dimmed">
          {t("versions.by", { who, size: formatBytes(revision.size_bytes) })}
        </Text>
      </div>
      {canChange && !revision.is_head ? (
        <Button
          size="xs"
          variant="default"
          loading={isRestoring}
          aria-label={t("versions.restoreOf", { when })}
          onClick={restore}
        >
          {t("versions.restore")}
        </Button>
      ) : null}
      <Menu position="bottom-end">
        <Menu.Target>
          <ActionIcon variant="subtle" color="gray" size="lg" aria-label={t("versions.actions", { when })}>
            <MoreVertical size={18} />
          </ActionIcon>
        </Menu.Target>
        <Menu.Dropdown>
          <Menu.Item leftSection={<Download size={16} />} onClick={download}>
            {t("versions.download")}
          </Menu.Item>
          {file.role === "owner" ? (
            <Menu.Item
              leftSection={revision.pinned ? <PinOff size={16} /> : <Pin size={16} />}
              onClick={() => setPinned(!revision.pinned)}
            >
              {t(revision.pinned ? "versions.unkeep" : "versions.keep")}
            </Menu.Item>
          ) : null}
        </Menu.Dropdown>
      </Menu>
    </Group>
  );
}

function ContentMark({ revision: { content_status } }: { revision: Revision }) {
  if (content_status === "quarantined") return <Mark text={t("versions.quarantined")} color="red" />;
  if (content_status === "damaged") return <Mark text={t("versions.damaged")} color="red" />;
  return null;
}

function Mark({ text, color = "gray" }: { text: string; color?: string }) {
  return (
    <Badge size="sm" variant="light" color={color}>
      {text}
    </Badge>
  );
}
