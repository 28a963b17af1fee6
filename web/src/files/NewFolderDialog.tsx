import { Button, Group, Modal, Stack, TextInput } from "@mantine/core";
import type { RemoteFile } from "dropbox-api-client";
import { type FormEvent, useState } from "react";
import { t } from "../lib/i18n.ts";
import { describeError } from "../lib/problems.ts";
import { createFolder } from "./changes.tsx";

interface NewFolderDialogProps {
  folder: RemoteFile;
  onClose: () => void;
  onCreated: (folder: RemoteFile) => void;
}

export function NewFolderDialog({ folder, onClose, onCreated }: NewFolderDialogProps) {
  const [name, setName] = useState("");
  const [error, setError] = useState<string | null>(null);
  const [isBusy, setBusy] = useState(false);
  const create = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    try {
      onCreated(await createFolder(name, folder.id));
      onClose();
    } catch (problem) {
      setError(describeError(problem));
      setBusy(false);
    }
  };
  return (
    <Modal opened onClose={onClose} title={t("files.newFolder")} centered>
      <form onSubmit={create}>
        <Stack>
          <TextInput
            label={t("files.folderName")}
            value={name}
            error={error}
            data-autofocus
            autoComplete="off"
            onChange={(event) => {
              setName(event.currentTarget.value);
              setError(null);
            }}
          />
          <Group justify="flex-end" gap="sm">
            <Button variant="default" onClick={onClose}>
              {t("files.cancel")}
            </Button>
            <Button type="submit" loading={isBusy} disabled={name.trim() === ""}>
              {t("files.create")}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
