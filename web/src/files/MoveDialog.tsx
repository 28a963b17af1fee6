// Choose a folder with the keyboard: the other way to move files than dragging.

import { Button, Group, Modal, Stack } from "@mantine/core";
import type { RemoteFile } from "dropbox-api-client";
import { useState } from "react";
import { t } from "../lib/i18n.ts";
import { copyFiles, moveFiles } from "./changes.tsx";
import { FolderChooser } from "./FolderChooser.tsx";
import { useFolder } from "./folders.ts";

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
  const isSamePlace = files.every(({ parent_id }) => parent_id === folder?.id);
  const mayChange = folder !== undefined && folder.role !== "viewer";
  const run = (change: typeof moveFiles) => () => {
    if (folder) void change(files, folder);
    onClose();
  };
  return (
    <Stack>
      <FolderChooser id={id} onChoose={setId} without={files} />
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
