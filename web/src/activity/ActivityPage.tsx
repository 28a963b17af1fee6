// `/activity`: what happened to the account's files, and to those shared with it.

import { NativeSelect, Stack, Text, Title } from "@mantine/core";
import type { ChangeEvent } from "dropbox-api-client";
import { History } from "lucide-react";
import { useState } from "react";
import { FileIcon } from "../files/FileIcon.tsx";
import { client } from "../lib/client.ts";
import { formatDay, formatTime } from "../lib/format.ts";
import { t } from "../lib/i18n.ts";
import { keys } from "../lib/keys.ts";
import { usePages } from "../lib/pages.ts";
import { FileRows, placeOf, Row } from "../ui/FileRows.tsx";
import { Page } from "../ui/Page.tsx";
import { PagedList } from "../ui/PagedList.tsx";
import { type Entry, groupEvents } from "./groups.ts";
import { describeEntry } from "./sentences.ts";

const FILTERS = [
  "file.created",
  "file.updated",
  "file.renamed",
  "file.moved",
  "file.trashed",
  "file.restored",
  "file.deleted",
  "share.granted",
] as const;
type Filter = (typeof FILTERS)[number] | "all";

export function Component() {
  const [filter, setFilter] = useState<Filter>("all");
  const pages = usePages([...keys.activity(), filter], (page, signal) => {
    const query = filter === "all" ? page : { ...page, kind: filter };
    return client.api.GET("/v1/me/activity", { params: { query }, signal });
  });
  return (
    <Page
      title={t("activity.title")}
      actions={
        <NativeSelect
          aria-label={t("activity.filter")}
          data={(["all", ...FILTERS] as const).map((value) => ({ value, label: t(`activity.filter.${value}`) }))}
          value={filter}
          onChange={(event) => setFilter(event.currentTarget.value as Filter)}
        />
      }
    >
      <PagedList pages={pages} empty={{ icon: History, title: t("activity.empty"), text: t("activity.emptyHint") }}>
        {(events) => <Days events={events} />}
      </PagedList>
    </Page>
  );
}

function Days({ events }: { events: readonly ChangeEvent[] }) {
  return (
    <Stack gap="lg">
      {groupEvents(events).map(({ day, entries }) => (
        <section key={day.toDateString()}>
          <Title order={2} size="h6" mb="xs">
            {describeDay(day)}
          </Title>
          <FileRows label={describeDay(day)}>
            {entries.map((entry) => (
              <EntryRow key={entry.events[0].id} entry={entry} />
            ))}
          </FileRows>
        </section>
      ))}
    </Stack>
  );
}

function EntryRow({ entry }: { entry: Entry }) {
  const [{ file, at }] = entry.events;
  const folder = file?.path.slice(0, file.path.lastIndexOf("/"));
  const isOpenable = file !== null && file.trashed_at === null;
  return (
    <Row
      icon={file ? <FileIcon file={file} size={28} /> : <History size={28} strokeWidth={1.5} aria-hidden />}
      title={describeEntry(entry)}
      to={isOpenable ? placeOf(file) : undefined}
      about={folder ? t("activity.where", { folder }) : null}
    >
      <Text size="xs" c="dimmed" component="time" dateTime={at}>
        {formatTime(at)}
      </Text>
    </Row>
  );
}

function describeDay(day: Date): string {
  const now = new Date();
  if (day.toDateString() === now.toDateString()) return t("activity.today");
  now.setDate(now.getDate() - 1);
  return day.toDateString() === now.toDateString() ? t("activity.yesterday") : formatDay(day);
}
