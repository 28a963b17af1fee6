// `/shared`: files and folders of other owners.

import { ActionIcon, Badge, Menu } from "@mantine/core";
import type { RemoteFile } from "dropbox-api-client";
import { CopyPlus, LogOut, MoreVertical, Users } from "lucide-react";
import { useState } from "react";
import { formatDay } from "../lib/format.ts";
import { t } from "../lib/i18n.ts";
import { notifyDone } from "../lib/notify.tsx";
import { ConfirmDialog } from "../ui/ConfirmDialog.tsx";
import { FileRowItem, FileRows, placeOf } from "../ui/FileRows.tsx";
import { PagedList } from "../ui/PagedList.tsx";
import { useLeave, useSharedWithMe } from "./queries.ts";
import { SharingPage } from "./SharingPage.tsx";
import { useSaveCopy } from "./useSaveCopy.ts";

export function Component() {
  const pages = useSharedWithMe();
  return (
    <SharingPage title={t("sharing.withMe")}>
      <PagedList
        pages={pages}
        empty={{ icon: Users, title: t("sharing.withMeEmpty"), text: t("sharing.withMeEmptyHint") }}
      >
        {(files) => (
          <FileRows label={t("sharing.withMe")}>
            {files.map((file) => (
              <SharedFile key={file.id} file={file} />
            ))}
          </FileRows>
        )}
      </PagedList>
    </SharingPage>
  );
}

function SharedFile({ file }: { file: RemoteFile }) {
  const [isLeaving, setLeaving] = useState(false);
  const { isCopying, copy } = useSaveCopy(file);
  const leave = useLeave();
  const owner = file.owner_name ?? file.owner;
  return (
    <FileRowItem
      file={file}
      to={placeOf(file)}
      about={t("sharing.sharedBy", { owner, when: formatDay(file.modified_at) })}
    >
      <Badge variant="light" color="gray">
        {t(`sharing.role.${file.role}`)}
      </Badge>
      <Menu position="bottom-end">
        <Menu.Target>
          <ActionIcon variant="subtle" color="gray" size="lg" aria-label={t("sharing.actions", { name: file.name })}>
            <MoreVertical size={18} />
          </ActionIcon>
        </Menu.Target>
        <Menu.Dropdown>
          <Menu.Item leftSection={<CopyPlus size={16} />} disabled={isCopying} onClick={copy}>
            {t("sharing.saveCopy")}
          </Menu.Item>
          <Menu.Item leftSection={<LogOut size={16} />} onClick={() => setLeaving(true)}>
            {t("sharing.leave")}
          </Menu.Item>
        </Menu.Dropdown>
      </Menu>
      <ConfirmDialog
        opened={isLeaving}
        title={t("sharing.leaveTitle", { name: file.name })}
        text={t("sharing.leaveText")}
        action={t("sharing.leave")}
        onClose={() => setLeaving(false)}
        onConfirm={async () => {
          await leave.mutateAsync(file.id);
          notifyDone(t("sharing.left", { name: file.name }));
        }}
      />
    </FileRowItem>
  );
}
