// `/storage`: what takes the space of the account.

import { Alert, Button, Group, Stack, Text, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import type { Schemas } from "dropbox-api-client";
import { TriangleAlert } from "lucide-react";
import { Link } from "react-router";
import { folderOf } from "../files/FileEntry.ts";
import { client } from "../lib/client.ts";
import { formatBytes, formatRelative } from "../lib/format.ts";
import { t } from "../lib/i18n.ts";
import { keys } from "../lib/keys.ts";
import { ErrorState } from "../ui/ErrorState.tsx";
import { FileRowItem, FileRows, placeOf } from "../ui/FileRows.tsx";
import lists from "../ui/lists.module.css";
import { Page } from "../ui/Page.tsx";
import { RowSkeletons } from "../ui/Skeletons.tsx";
import classes from "./StoragePage.module.css";

type Usage = Schemas["StorageUsage"];

const PARTS = ["image", "video", "audio", "document", "archive", "other", "revision", "trash", "unplaced"] as const;
type Part = (typeof PARTS)[number];

/** From this part of the quota on the page warns. */
const NEARLY_FULL = 0.9;
const LARGE_BYTES = 10_000_000;
const LARGE_FILES = 100;
const SHOWN_LARGE_FILES = 20;

export function Component() {
  const { data, error, refetch } = useQuery({
    queryKey: keys.storage(),
    queryFn: async ({ signal }) => (await client.api.GET("/v1/me/storage", { signal })).data,
  });
  return (
    <Page title={t("storage.title")}>
      {error && !data ? <ErrorState error={error} onRetry={refetch} /> : null}
      {!data && !error ? <RowSkeletons count={6} /> : null}
      {data ? (
        <Stack gap="xl">
          <Summary usage={data} />
          <LargeFiles />
        </Stack>
      ) : null}
    </Page>
  );
}

function Summary({ usage }: { usage: Usage }) {
  const { used_bytes, quota_bytes, computed_at } = usage;
  const free = Math.max(0, quota_bytes - used_bytes);
  const parts = PARTS.map((part) => ({ part, bytes: usage[`${part}_bytes`] })).filter(({ bytes }) => bytes > 0);
  return (
    <Stack gap="md">
      <Warning share={used_bytes / Math.max(1, quota_bytes)} />
      <Group justify="space-between" align="baseline">
        <Text fw={600}>{t("storage.used", { used: formatBytes(used_bytes), quota: formatBytes(quota_bytes) })}</Text>
        <Text size="sm" c="dimmed">
          {t("storage.free", { free: formatBytes(free) })}
        </Text>
      </Group>
      <div className={classes.bar} role="img" aria-label={t("storage.chart")}>
        {parts.map(({ part, bytes }) => (
          <div key={part} className={`${classes.part} ${classes[part]}`} style={{ flexGrow: bytes }} />
        ))}
        <div className={classes.free} style={{ flexGrow: free }} />
      </div>
      <ul className={`${lists.plain} ${classes.legend}`}>
        {parts.map(({ part, bytes }) => (
          <PartRow key={part} part={part} bytes={bytes} />
        ))}
      </ul>
      <Text size="xs" c="dimmed">
        {t("storage.computed", { when: formatRelative(computed_at) })}
      </Text>
    </Stack>
  );
}

function Warning({ share }: { share: number }) {
  if (share < NEARLY_FULL) return null;
  return (
    <Alert color={share >= 1 ? "red" : "yellow"} icon={<TriangleAlert size={20} />}>
      {t(share >= 1 ? "storage.full" : "storage.nearlyFull")}
    </Alert>
  );
}

function PartRow({ part, bytes }: { part: Part; bytes: number }) {
  return (
    <li className={classes.legendRow}>
      <span className={`${classes.mark} ${classes[part]}`} aria-hidden />
      <Text size="sm" className={lists.grow}>
        {t(`storage.${part}`)}
      </Text>
      {part === "trash" ? (
        <Button component={Link} to="/trash" size="compact-xs" variant="subtle">
          {t("storage.openTrash")}
        </Button>
      ) : null}
      <Text size="sm" c="dimmed">
        {formatBytes(bytes)}
      </Text>
    </li>
  );
}

/** The largest of the files above a size; the server lists them in no order of sizes. */
function LargeFiles() {
  const {
    data: files = [],
    isSuccess,
    isPending,
  } = useQuery({
    queryKey: [...keys.storage(), "large"],
    queryFn: async ({ signal }) => {
      const query = { kind: "file" as const, min_bytes: LARGE_BYTES, limit: LARGE_FILES };
      const { items } = (await client.api.GET("/v1/search", { params: { query }, signal })).data;
      return items
        .toSorted((one, other) => (other.size_bytes ?? 0) - (one.size_bytes ?? 0))
        .slice(0, SHOWN_LARGE_FILES);
    },
  });
  return (
    <section>
      <Title order={2} size="h5" mb="xs">
        {t("storage.large")}
      </Title>
      {isSuccess && files.length === 0 ? (
        <Text size="sm" c="dimmed">
          {t("storage.largeEmpty", { size: formatBytes(LARGE_BYTES) })}
        </Text>
      ) : null}
      {isPending ? <RowSkeletons count={3} height={56} /> : null}
      <FileRows label={t("storage.large")}>
        {files.map((file) => (
          <FileRowItem key={file.id} file={file} to={placeOf(file)} about={folderOf(file)}>
            <Text size="sm">{formatBytes(file.size_bytes ?? 0)}</Text>
          </FileRowItem>
        ))}
      </FileRows>
    </section>
  );
}
