// A link: its address, what it allows, and its changes.

import { ActionIcon, Badge, Group, Stack, Text, TextInput } from "@mantine/core";
import { Download, Eye, Inbox, Pencil, Trash2 } from "lucide-react";
import { useState } from "react";
import { formatBytes, formatDay } from "../lib/format.ts";
import { t } from "../lib/i18n.ts";
import { notifyDone } from "../lib/notify.tsx";
import { ConfirmDialog } from "../ui/ConfirmDialog.tsx";
import { CopyButton } from "../ui/CopyButton.tsx";
import { LinkForm } from "./LinkForm.tsx";
import { LinkUploads } from "./LinkUploads.tsx";
import { addressOf } from "./linkAddress.ts";
import { fieldsOf, settingsOf } from "./linkForm.ts";
import { type Link, useRevokeLink, useUpdateLink } from "./queries.ts";

const ICONS = { view: Eye, download: Download, upload: Inbox };

export function LinkRow({ link }: { link: Link }) {
  const [isEditing, setEditing] = useState(false);
  const [isRevoking, setRevoking] = useState(false);
  const revoke = useRevokeLink(link);
  const Icon = ICONS[link.mode];
  return (
    <Stack component="li" gap={6}>
      <Group gap="xs">
        <TextInput
          flex="1 1 16rem"
          aria-label={t("sharing.linkAddress")}
          readOnly
          leftSection={<Icon size={16} aria-hidden />}
          value={addressOf(link)}
          onFocus={(event) => event.currentTarget.select()}
        />
        <CopyButton text={addressOf(link)} label={t("sharing.copyLink")} />
        <ActionIcon
          variant="subtle"
          color="gray"
          size="lg"
          aria-label={t("sharing.editLink")}
          onClick={() => setEditing(!isEditing)}
        >
          <Pencil size={18} />
        </ActionIcon>
        <ActionIcon
          variant="subtle"
          color="gray"
          size="lg"
          aria-label={t("sharing.revoke")}
          onClick={() => setRevoking(true)}
        >
          <Trash2 size={18} />
        </ActionIcon>
      </Group>
      <LinkFacts link={link} />
      {isEditing ? <EditLink link={link} onClose={() => setEditing(false)} /> : null}
      {link.mode === "upload" ? <LinkUploads link={link} /> : null}
      <ConfirmDialog
        opened={isRevoking}
        title={t("sharing.revokeTitle")}
        text={t("sharing.revokeText")}
        action={t("sharing.revokeAction")}
        onClose={() => setRevoking(false)}
        onConfirm={async () => {
          await revoke.mutateAsync(undefined);
          notifyDone(t("sharing.revoked"));
        }}
      />
    </Stack>
  );
}

function LinkFacts({ link }: { link: Link }) {
  const isExpired = link.expires_at !== null && new Date(link.expires_at) < new Date();
  return (
    <Group gap={6}>
      <Text size="xs" fw={500}>
        {t(`sharing.mode.${link.mode}`)}
      </Text>
      {link.has_password ? <Fact text={t("sharing.withPassword")} /> : null}
      {link.expires_at ? (
        <Fact
          text={t(isExpired ? "sharing.expired" : "sharing.until", { when: formatDay(link.expires_at) })}
          color={isExpired ? "red" : "gray"}
        />
      ) : null}
      {link.max_file_bytes ? <Fact text={t("sharing.upTo", { size: formatBytes(link.max_file_bytes) })} /> : null}
      <Text size="xs" c="dimmed">
        {describeUse(link)}
      </Text>
    </Group>
  );
}

function Fact({ text, color = "gray" }: { text: string; color?: string }) {
  return (
    <Badge size="sm" variant="light" color={color}>
      {text}
    </Badge>
  );
}

function describeUse(link: Link): string {
  if (link.mode !== "upload") {
    const { downloads: count, max_downloads: max } = link;
    return max === null ? t("sharing.downloads", { count }) : t("sharing.downloadsOf", { count, max });
  }
  const size = formatBytes(link.received_bytes);
  const received = t("sharing.received", { count: link.received_files, size });
  if (link.max_bytes === null) return received;
  return `${received} (${t("sharing.receivedOf", { size, max: formatBytes(link.max_bytes) })})`;
}

function EditLink({ link, onClose }: { link: Link; onClose: () => void }) {
  const update = useUpdateLink(link);
  return (
    <LinkForm
      initial={fieldsOf(link)}
      modes={[]}
      hasPassword={link.has_password}
      action={t("sharing.saveLink")}
      error={update.error}
      isSaving={update.isPending}
      onCancel={onClose}
      onSubmit={(fields) =>
        update.mutate(settingsOf(fields), {
          onSuccess: () => {
            onClose();
            notifyDone(t("sharing.linkSaved"));
          },
        })
      }
    />
  );
}
