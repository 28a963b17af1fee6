// `?share=ID`: people and links of a file or folder.

import { Divider, Stack, Text } from "@mantine/core";
import type { RemoteFile } from "dropbox-api-client";
import { FileDialog } from "../files/FileDialog.tsx";
import { t } from "../lib/i18n.ts";
import type { DialogProps } from "../room.ts";
import { Links } from "./Links.tsx";
import { People } from "./People.tsx";
import { SaveCopyButton } from "./SaveCopyButton.tsx";

export default function ShareDialog({ value, onClose }: DialogProps) {
  return (
    <FileDialog id={value} title={({ name }) => t("sharing.title", { name })} onClose={onClose}>
      {(file) => (file.role === "owner" ? <OwnShare file={file} /> : <ReceivedShare file={file} />)}
    </FileDialog>
  );
}

function OwnShare({ file }: { file: RemoteFile }) {
  return (
    <Stack gap="lg">
      <People file={file} />
      <Divider />
      <Links file={file} />
    </Stack>
  );
}

function ReceivedShare({ file }: { file: RemoteFile }) {
  return (
    <Stack align="flex-start">
      <Text>{t("sharing.notOwner", { owner: file.owner_name ?? file.owner, role: file.role })}</Text>
      <Text c="dimmed" size="sm">
        {t("sharing.notOwnerHint")}
      </Text>
      <SaveCopyButton file={file} />
    </Stack>
  );
}
