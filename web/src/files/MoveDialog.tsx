// Choose a folder with the keyboard: the other way to move files than dragging.

import { Anchor, Breadcrumbs, Button, Group, Modal, ScrollArea, Skeleton, Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import type { RemoteFile } from "dropbox-api-client";
import { ChevronRight } from "lucide-react";
import { useState } from "react";
import { client } from "../lib/client.ts";
import { t } from "../lib/i18n.ts";
import { keys } from "../lib/keys.ts";
import { describeError } from "../lib/problems.ts";
import { copyFiles, moveFiles } from "./changes.tsx";
import { FileIcon } from "./FileIcon.tsx";
import classes from "./files.module.css";
import { useAncestors, useFolder } from "./folders.ts";

interface MoveDialogProps {
  files: readonly RemoteFile[];
  onClose: () => void;
}

export function MoveDialog({ files, onClose }: MoveDialogProps) {
  const count = files.length;
  const name = files[0]?.name ?? "";
  return (
    <Modal opened onClose={onClose} title={t("files.moveTitle", { count, name })} size="lg">
      <FolderPicker files={files} onClose={onClose} />
    </Modal>
  );
}

function FolderPicker({ files, onClose }: MoveDialogProps) {
  const [id, setId] = useState<string | null>(files[0]?.parent_id ?? null);
  const { data: folder } = useFolder(id);
  const ancestors = useAncestors(folder);
  const isSamePlace = files.every(({ parent_id }) => parent_id === folder?.id);
  const mayChange = folder !== undefined && folder.role !== "viewer";
  const run = (change: typeof moveFiles) => () => {
    if (folder) void change(files, folder);
    onClose();
  };
  return (
    <Stack>
      <Breadcrumbs
        separator={<ChevronRight size={14} aria-hidden />}
        separatorMargin={4}
        className={classes.pickerPath}
      >
        {ancestors.map((above) => (
          <Anchor component="button" key={above.id} onClick={() => setId(above.id)}>
            {above.name || t("files.root")}
          </Anchor>
        ))}
        {folder && <Text fw={600}>{folder.name || t("files.root")}</Text>}
      </Breadcrumbs>
      <ScrollArea h={280} className={classes.picker} viewportProps={{ tabIndex: -1 }}>
        {folder && <Subfolders key={folder.id} folder={folder} moved={files} onOpen={setId} />}
      </ScrollArea>
      <Group justify="flex-end" gap="sm">
        <Button variant="default" onClick={onClose}>
          {t("files.cancel")}
        </Button>
        <Button variant="default" disabled={!mayChange} onClick={run(copyFiles)}>
          {t("files.copyHere")}
        </Button>
        <Button disabled={!mayChange || isSamePlace} onClick={run(moveFiles)}>
          {t("files.moveHere")}
        </Button>
      </Group>
    </Stack>
  );
}

interface SubfoldersProps {
  folder: RemoteFile;
  moved: readonly RemoteFile[];
  onOpen: (id: string) => void;
}

const SHOWN = 1000;

function Subfolders({ folder, moved, onOpen }: SubfoldersProps) {
  const { data, error } = useQuery({
    queryKey: [...keys.folder(folder.id), "subfolders"],
    queryFn: async ({ signal }) => {
      const query = { parent_id: folder.id, kind: "folder" as const, limit: SHOWN };
      return (await client.api.GET("/v1/files", { params: { query }, signal })).data.items;
    },
  });
  if (error) return <Text c="red">{describeError(error)}</Text>;
  if (!data) return [60, 40, 70].map((width) => <Skeleton key={width} height={20} my="sm" width={`${width}%`} />);
  const ids = new Set(moved.map(({ id }) => id));
  const folders = data.filter(({ id }) => !ids.has(id));
  if (!folders.length)
    return (
      <Text c="dimmed" p="sm">
        {t("files.noSubfolders")}
      </Text>
    );
  return (
    <ul className={classes.pickerList}>
      {folders.map((child) => (
        <li key={child.id}>
          <button type="button" className={classes.pickerFolder} onClick={() => onOpen(child.id)}>
            <FileIcon file={child} size={22} />
            <span>{child.name}</span>
            <ChevronRight size={16} aria-hidden />
          </button>
        </li>
      ))}
    </ul>
  );
}
