// `?share=ID`: people and links of a file or folder.

import { Divider, Modal, Stack, Text } from "@mantine/core";
import { useMediaQuery } from "@mantine/hooks";
import type { RemoteFile } from "dropbox-api-client";
import { useFile } from "../lib/file.ts";
import { t } from "../lib/i18n.ts";
import type { DialogProps } from "../room.ts";
import { ErrorState } from "../ui/ErrorState.tsx";
import { RowSkeletons } from "../ui/Skeletons.tsx";
import { Links } from "./Links.tsx";
import { People } from "./People.tsx";
import { SaveCopyButton } from "./SaveCopyButton.tsx";

export default function ShareDialog({ value: id, onClose }: DialogProps) {
  const isPhone = useMediaQuery("(max-width: 48em)");
  const { data: file, error, refetch } = useFile(id);
  return (
    <Modal
      opened
      onClose={onClose}
      fullScreen={isPhone ?? false}
      size="lg"
      title={file ? t("sharing.title", { name: file.name }) : ""}
    >
      {error ? <ErrorState error={error} onRetry={refetch} /> : null}
      {!file && !error ? <RowSkeletons count={4} /> : null}
      {file?.role === "owner" ? <OwnShare file={file} /> : null}
      {file && file.role !== "owner" ? <ReceivedShare file={file} /> : null}
    </Modal>
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
