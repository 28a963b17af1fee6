// Files that arrive through an upload link at this moment.

import { ActionIcon, Group, Progress, Stack, Text } from "@mantine/core";
import type { Schemas } from "dropbox-api-client";
import { X } from "lucide-react";
import { useState } from "react";
import { formatBytes } from "../lib/format.ts";
import { t } from "../lib/i18n.ts";
import { ConfirmDialog } from "../ui/ConfirmDialog.tsx";
import lists from "../ui/lists.module.css";
import { type Link, useAbortLinkUpload, useLinkUploads } from "./queries.ts";

export function LinkUploads({ link }: { link: Link }) {
  const { items } = useLinkUploads(link);
  if (items.length === 0) return null;
  return (
    <Stack gap={4} pl="sm">
      <Text size="xs" fw={500}>
        {t("sharing.arriving")}
      </Text>
      <Stack component="ul" gap={4} className={lists.plain}>
        {items.map((upload) => (
          <ArrivingFile key={upload.id} link={link} upload={upload} />
        ))}
      </Stack>
    </Stack>
  );
}

function ArrivingFile({ link, upload }: { link: Link; upload: Schemas["LinkUpload"] }) {
  const [isStopping, setStopping] = useState(false);
  const abort = useAbortLinkUpload(link);
  const progress = t("sharing.arrivingProgress", {
    done: formatBytes(upload.uploaded_bytes),
    size: formatBytes(upload.size_bytes),
  });
  return (
    <Group component="li" gap="sm" wrap="nowrap">
      <div className={lists.grow}>
        <Group justify="space-between" wrap="nowrap">
          <Text size="sm" truncate>
            {upload.name}
          </Text>
          <Text size="xs" c="dimmed">
            {progress}
          </Text>
        </Group>
        <Progress
          size="sm"
          aria-label={upload.name}
          value={Math.round((100 * upload.uploaded_bytes) / Math.max(1, upload.size_bytes))}
        />
      </div>
      <ActionIcon
        variant="subtle"
        color="gray"
        aria-label={t("sharing.abort", { name: upload.name })}
        onClick={() => setStopping(true)}
      >
        <X size={18} />
      </ActionIcon>
      <ConfirmDialog
        opened={isStopping}
        title={t("sharing.abortTitle")}
        text={t("sharing.abortText", { name: upload.name })}
        action={t("sharing.abortAction")}
        onClose={() => setStopping(false)}
        onConfirm={async () => {
          await abort.mutateAsync(upload.id);
        }}
      />
    </Group>
  );
}
