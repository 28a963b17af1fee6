// `/links`: the links of all files and folders.

import { Stack } from "@mantine/core";
import type { RemoteFile } from "dropbox-api-client";
import { Link2 } from "lucide-react";
import { folderOf } from "../files/FileEntry.ts";
import { t } from "../lib/i18n.ts";
import { ErrorState } from "../ui/ErrorState.tsx";
import { FileRowItem, FileRows, placeOf } from "../ui/FileRows.tsx";
import lists from "../ui/lists.module.css";
import { PagedList } from "../ui/PagedList.tsx";
import { RowSkeletons } from "../ui/Skeletons.tsx";
import { LinkRow } from "./LinkRow.tsx";
import { useLinks, useSharedByMe } from "./queries.ts";
import { SharingPage } from "./SharingPage.tsx";

export function Component() {
  const { items, query } = useSharedByMe();
  const files = items.filter((share) => share.link_count > 0).map((share) => share.file);
  return (
    <SharingPage title={t("sharing.linksPage")}>
      <PagedList
        pages={{ items: files, query }}
        empty={{ icon: Link2, title: t("sharing.linksPageEmpty"), text: t("sharing.linksPageEmptyHint") }}
      >
        {(files) => (
          <Stack gap="xl">
            {files.map((file) => (
              <LinksOfFile key={file.id} file={file} />
            ))}
          </Stack>
        )}
      </PagedList>
    </SharingPage>
  );
}

function LinksOfFile({ file }: { file: RemoteFile }) {
  const { items: links, query } = useLinks(file.id);
  return (
    <section aria-label={file.name}>
      <FileRows label={file.name}>
        <FileRowItem file={file} to={placeOf(file)} about={folderOf(file)} />
      </FileRows>
      {query.error ? <ErrorState error={query.error} onRetry={query.refetch} /> : null}
      {query.isPending ? <RowSkeletons count={1} /> : null}
      <Stack component="ul" gap="md" mt="sm" className={lists.plain}>
        {links.map((link) => (
          <LinkRow key={link.id} link={link} />
        ))}
      </Stack>
    </section>
  );
}
