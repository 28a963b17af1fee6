// The links of a file or folder: create, copy, change, revoke.

import { Button, Group, Stack, Text, Title } from "@mantine/core";
import type { RemoteFile } from "dropbox-api-client";
import { Plus } from "lucide-react";
import { useState } from "react";
import { copyText } from "../lib/clipboard.ts";
import { t } from "../lib/i18n.ts";
import { notifyDone } from "../lib/notify.tsx";
import { ErrorState } from "../ui/ErrorState.tsx";
import lists from "../ui/lists.module.css";
import { RowSkeletons } from "../ui/Skeletons.tsx";
import { LinkForm } from "./LinkForm.tsx";
import { LinkRow } from "./LinkRow.tsx";
import { addressOf } from "./linkAddress.ts";
import { newLink, settingsOf } from "./linkForm.ts";
import { useCreateLink, useLinks } from "./queries.ts";

export function Links({ file }: { file: RemoteFile }) {
  const { items: links, query } = useLinks(file.id);
  const [isCreating, setCreating] = useState(false);
  return (
    <Stack gap="md">
      <Group justify="space-between">
        <div>
          <Title order={3} size="h5">
            {t("sharing.links")}
          </Title>
          <Text size="xs" c="dimmed">
            {t("sharing.linksHint")}
          </Text>
        </div>
        {isCreating ? null : (
          <Button variant="light" leftSection={<Plus size={16} />} onClick={() => setCreating(true)}>
            {t("sharing.newLink")}
          </Button>
        )}
      </Group>
      {isCreating ? <CreateLink file={file} onClose={() => setCreating(false)} /> : null}
      {query.error ? <ErrorState error={query.error} onRetry={query.refetch} /> : null}
      {query.isPending ? <RowSkeletons count={1} /> : null}
      {links.length > 0 ? (
        <Stack component="ul" gap="md" className={lists.plain}>
          {links.map((link) => (
            <LinkRow key={link.id} link={link} />
          ))}
        </Stack>
      ) : null}
    </Stack>
  );
}

function CreateLink({ file, onClose }: { file: RemoteFile; onClose: () => void }) {
  const create = useCreateLink(file.id);
  return (
    <LinkForm
      initial={newLink()}
      modes={file.kind === "folder" ? ["download", "view", "upload"] : ["download", "view"]}
      hasPassword={false}
      action={t("sharing.createLink")}
      error={create.error}
      isSaving={create.isPending}
      onCancel={onClose}
      onSubmit={(fields) =>
        create.mutate(
          { mode: fields.mode, ...settingsOf(fields) },
          {
            onSuccess: async (link) => {
              onClose();
              const isCopied = await copyText(addressOf(link)).then(
                () => true,
                () => false,
              );
              notifyDone(t(isCopied ? "sharing.linkCreated" : "sharing.linkCreatedOnly"));
            },
          },
        )
      }
    />
  );
}
