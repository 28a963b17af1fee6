// `/shared/by-me`: what the account shares, by people and links.

import { Button } from "@mantine/core";
import type { Schemas } from "dropbox-api-client";
import { Share2 } from "lucide-react";
import { formatDay } from "../lib/format.ts";
import { t } from "../lib/i18n.ts";
import { useOpenDialog } from "../shell/dialogs.tsx";
import { FileRowItem, FileRows, placeOf } from "../ui/FileRows.tsx";
import { PagedList } from "../ui/PagedList.tsx";
import { useSharedByMe } from "./queries.ts";
import { SharingPage } from "./SharingPage.tsx";

export function Component() {
  const pages = useSharedByMe();
  return (
    <SharingPage title={t("sharing.byMe")}>
      <PagedList
        pages={pages}
        empty={{ icon: Share2, title: t("sharing.byMeEmpty"), text: t("sharing.byMeEmptyHint") }}
      >
        {(shares) => (
          <FileRows label={t("sharing.byMe")}>
            {shares.map((share) => (
              <OwnShare key={share.file.id} share={share} />
            ))}
          </FileRows>
        )}
      </PagedList>
    </SharingPage>
  );
}

function OwnShare({ share: { file, shared_at, grant_count, link_count } }: { share: Schemas["OwnShare"] }) {
  const open = useOpenDialog();
  const counts = [t("sharing.grantCount", { count: grant_count }), t("sharing.linkCount", { count: link_count })];
  return (
    <FileRowItem file={file} to={placeOf(file)} about={[...counts, formatDay(shared_at)].filter(Boolean).join(" · ")}>
      <Button
        onClick={() => open("share", file.id)}
        variant="default"
        size="xs"
        aria-label={t("sharing.manage", { name: file.name })}
      >
        {t("sharing.manageShort")}
      </Button>
    </FileRowItem>
  );
}
