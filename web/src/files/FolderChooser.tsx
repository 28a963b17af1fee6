// Choose a folder: the way to it, and the folders in it.

import { Anchor, Breadcrumbs, ScrollArea, Skeleton, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import type { RemoteFile } from "dropbox-api-client";
import { ChevronRight } from "lucide-react";
import { client } from "../lib/client.ts";
import { t } from "../lib/i18n.ts";
import { keys } from "../lib/keys.ts";
import { describeError } from "../lib/problems.ts";
import { FileIcon } from "./FileIcon.tsx";
import classes from "./files.module.css";
import { useAncestors, useFolder } from "./folders.ts";

interface FolderChooserProps {
  /** The chosen folder; null: the root. */
  id: string | null;
  onChoose: (id: string) => void;
  /** Files that are not offered, such as those that move. */
  without: readonly RemoteFile[];
}

export function FolderChooser({ id, onChoose, without }: FolderChooserProps) {
  const { data: folder } = useFolder(id);
  const ancestors = useAncestors(folder);
  return (
    <>
      <Breadcrumbs
        separator={<ChevronRight size={14} aria-hidden />}
        separatorMargin={4}
        className={classes.pickerPath}
      >
        {ancestors.map((above) => (
          <Anchor component="button" key={above.id} onClick={() => onChoose(above.id)}>
            {above.name || t("files.root")}
          </Anchor>
        ))}
        {folder && <Text fw={600}>{folder.name || t("files.root")}</Text>}
      </Breadcrumbs>
      <ScrollArea h={280} className={classes.picker} viewportProps={{ tabIndex: -1 }}>
        {folder && <Subfolders key={folder.id} folder={folder} without={without} onOpen={onChoose} />}
      </ScrollArea>
    </>
  );
}

interface SubfoldersProps {
  folder: RemoteFile;
  without: readonly RemoteFile[];
  onOpen: (id: string) => void;
}

const SHOWN = 1000;

function Subfolders({ folder, without, onOpen }: SubfoldersProps) {
  const { data, error } = useQuery({
    queryKey: [...keys.folder(folder.id), "subfolders"],
    queryFn: async ({ signal }) => {
      const query = { parent_id: folder.id, kind: "folder" as const, limit: SHOWN };
      return (await client.api.GET("/v1/files", { params: { query }, signal })).data.items;
    },
  });
  if (error) return <Text c="red">{describeError(error)}</Text>;
  if (!data) return [60, 40, 70].map((width) => <Skeleton key={width} height={20} my="sm" width={`${width}%`} />);
  const ids = new Set(without.map(({ id }) => id));
  const folders = data.filter(({ id }) => !ids.has(id));
  if (!folders.length)
    return (
      <Text c="dimmed" p="sm">
        {t("files.noSubfolders")}
      </Text>
    );
  return (
    <ul className={classes.pickerList}>
      {folders.map((child) => (
        <li key={child.id}>
          <button type="button" className={classes.pickerFolder} onClick={() => onOpen(child.id)}>
            <FileIcon file={child} size={22} />
            <span>{child.name}</span>
            <ChevronRight size={16} aria-hidden />
          </button>
        </li>
      ))}
    </ul>
  );
}
