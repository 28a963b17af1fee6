// How much of the quota is used.

import { Anchor, Progress, Stack, Text } from "@mantine/core";
import { Link } from "react-router";
import { useMe } from "../account/useMe.ts";
import { formatBytes } from "../lib/format.ts";
import { t } from "../lib/i18n.ts";
import { hasPage } from "../room.ts";

const hasStoragePage = hasPage("storage");

export function StorageMeter() {
  const { data: me } = useMe();
  if (me === undefined) return null;
  const part = me.quota_bytes === 0 ? 100 : Math.min(100, Math.ceil((me.used_bytes / me.quota_bytes) * 100));
  const text = t("shell.storage", { used: formatBytes(me.used_bytes), quota: formatBytes(me.quota_bytes) });
  return (
    <Stack gap="xs" p="sm">
      <Progress value={Math.round(part)} size="sm" color={part > 90 ? "red.8" : "brand"} aria-label={text} />
      {hasStoragePage ? (
        <Anchor component={Link} to="/storage" size="xs">
          {text}
        </Anchor>
      ) : (
        <Text size="xs" c="dimmed">
          {text}
        </Text>
      )}
    </Stack>
  );
}
