// `/trash`: deleted files and folders.

import { ActionIcon, Button, Checkbox, Group, NativeSelect } from "@mantine/core";
import type { RemoteFile } from "dropbox-api-client";
import { RotateCcw, Trash2 } from "lucide-react";
import { type ComponentProps, useEffect, useMemo, useState } from "react";
import { formatDay, formatRelative } from "../lib/format.ts";
import { t } from "../lib/i18n.ts";
import { ConfirmDialog } from "../ui/ConfirmDialog.tsx";
import { FileRowItem, VirtualFileRows } from "../ui/FileRows.tsx";
import { Page } from "../ui/Page.tsx";
import { PagedList } from "../ui/PagedList.tsx";
import { emptyTrash, findTopFolder, purgeFiles, restoreFiles, useTrash } from "./trash.ts";

type Order = "date" | "name";
type Files = readonly RemoteFile[];
/** What a dialog asks about. */
type Question = { kind: "purge" | "parentGone"; files: Files } | { kind: "empty" };

export function Component() {
  const { items, query } = useTrash();
  const [order, setOrder] = useState<Order>("date");
  const [selected, setSelected] = useState<ReadonlySet<string>>(new Set());
  const [question, setQuestion] = useState<Question | null>(null);
  const files = useMemo(() => (order === "name" ? sortByName(items) : items), [items, order]);
  const chosen = files.filter(({ id }) => selected.has(id));

  // The server lists the trash by date: an order by name needs all of it.
  const { hasNextPage, isFetchingNextPage, fetchNextPage } = query;
  useEffect(() => {
    if (order === "name" && hasNextPage && !isFetchingNextPage) void fetchNextPage();
  }, [order, hasNextPage, isFetchingNextPage, fetchNextPage]);

  const restore = async (some: Files) => {
    setSelected(new Set());
    const homeless = await restoreFiles(some);
    if (homeless.length > 0) setQuestion({ kind: "parentGone", files: homeless });
  };
  const select = (id: string, isSelected: boolean) => {
    const next = new Set(selected);
    if (isSelected) next.add(id);
    else next.delete(id);
    setSelected(next);
  };

  return (
    <Page
      title={t("trash.title")}
      description={items.length > 0 ? t("trash.hint") : undefined}
      actions={
        items.length > 0 ? (
          <Button variant="default" leftSection={<Trash2 size={16} />} onClick={() => setQuestion({ kind: "empty" })}>
            {t("trash.emptyTrash")}
          </Button>
        ) : null
      }
    >
      {items.length > 0 ? (
        <Group gap="sm" mih={36}>
          <Checkbox
            aria-label={t("trash.selectAll")}
            label={chosen.length > 0 ? t("trash.selected", { count: chosen.length }) : t("trash.selectAll")}
            checked={chosen.length === files.length}
            indeterminate={chosen.length > 0 && chosen.length < files.length}
            onChange={(event) => setSelected(new Set(event.currentTarget.checked ? files.map(({ id }) => id) : []))}
          />
          {chosen.length > 0 ? (
            <>
              <Button size="xs" leftSection={<RotateCcw size={16} />} onClick={() => restore(chosen)}>
                {t("trash.restore")}
              </Button>
              <Button
                size="xs"
                color="red"
                variant="light"
                onClick={() => setQuestion({ kind: "purge", files: chosen })}
              >
                {t("trash.purge")}
              </Button>
            </>
          ) : null}
          <NativeSelect
            ml="auto"
            size="xs"
            aria-label={t("trash.order")}
            data={(["date", "name"] as const).map((value) => ({ value, label: t(`trash.order.${value}`) }))}
            value={order}
            onChange={(event) => setOrder(event.currentTarget.value as Order)}
          />
        </Group>
      ) : null}
      <PagedList
        pages={{ items: files, query }}
        empty={{ icon: Trash2, title: t("trash.empty"), text: t("trash.emptyHint") }}
      >
        {(files) => (
          <VirtualFileRows label={t("trash.title")} items={files}>
            {(file, place) => (
              <TrashedFile
                key={file.id}
                file={file}
                place={place}
                isSelected={selected.has(file.id)}
                onSelect={(isSelected) => select(file.id, isSelected)}
                onRestore={() => restore([file])}
                onPurge={() => setQuestion({ kind: "purge", files: [file] })}
              />
            )}
          </VirtualFileRows>
        )}
      </PagedList>
      <Questions question={question} onClose={() => setQuestion(null)} onDone={() => setSelected(new Set())} />
    </Page>
  );
}

interface TrashedFileProps extends Pick<ComponentProps<typeof FileRowItem>, "file" | "place"> {
  isSelected: boolean;
  onSelect: (isSelected: boolean) => void;
  onRestore: () => void;
  onPurge: () => void;
}

function TrashedFile({ file, place, isSelected, onSelect, onRestore, onPurge }: TrashedFileProps) {
  const folder = file.path.slice(0, file.path.lastIndexOf("/"));
  const facts = [
    folder ? t("trash.from", { path: folder }) : t("trash.fromTop"),
    file.trashed_at ? t("trash.deleted", { when: formatRelative(file.trashed_at) }) : "",
    file.purge_at ? t("trash.purgedSoon", { when: formatDay(file.purge_at) }) : "",
  ];
  return (
    <FileRowItem
      file={file}
      place={place}
      about={facts.filter(Boolean).join(" · ")}
      before={
        <Checkbox
          aria-label={t("trash.select", { name: file.name })}
          checked={isSelected}
          onChange={(event) => onSelect(event.currentTarget.checked)}
        />
      }
    >
      <ActionIcon aria-label={t("trash.restoreOne", { name: file.name })} onClick={onRestore}>
        <RotateCcw size={18} />
      </ActionIcon>
      <ActionIcon aria-label={t("trash.purgeOne", { name: file.name })} onClick={onPurge}>
        <Trash2 size={18} />
      </ActionIcon>
    </FileRowItem>
  );
}

interface QuestionsProps {
  question: Question | null;
  onClose: () => void;
  onDone: () => void;
}

function Questions({ question, onClose, onDone }: QuestionsProps) {
  if (question === null) return null;
  if (question.kind === "empty") {
    return (
      <ConfirmDialog
        opened
        title={t("trash.emptyTitle")}
        text={t("trash.emptyText")}
        action={t("trash.emptyTrash")}
        onClose={onClose}
        onConfirm={async () => {
          await emptyTrash();
          onDone();
        }}
      />
    );
  }
  const { files } = question;
  const names = { count: files.length, name: files[0]?.name ?? "" };
  if (question.kind === "parentGone") {
    return (
      <ConfirmDialog
        opened
        title={t("trash.parentGone", names)}
        text={t("trash.parentGoneText")}
        action={t("trash.restoreToTop")}
        onClose={onClose}
        onConfirm={async () => {
          await restoreFiles(files, await findTopFolder());
        }}
      />
    );
  }
  return (
    <ConfirmDialog
      opened
      title={t("trash.purgeTitle", names)}
      text={t("trash.purgeText")}
      action={t("trash.purge")}
      onClose={onClose}
      onConfirm={async () => {
        await purgeFiles(files);
        onDone();
      }}
    />
  );
}

/** In the order of the file browser: folders and files by name, digits by value, accents and case last. */
function sortByName(files: Files): RemoteFile[] {
  const collator = new Intl.Collator(undefined, { numeric: true });
  return files.toSorted((one, other) => collator.compare(one.name, other.name));
}
