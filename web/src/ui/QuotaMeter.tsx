// How much of a quota is used: as a bar, and in words.

import { Anchor, Progress, Stack, Text } from "@mantine/core";
import { Link } from "react-router";
import { formatBytes } from "../lib/format.ts";
import { t } from "../lib/i18n.ts";

interface QuotaMeterProps {
  account: { used_bytes: number; quota_bytes: number };
  /** The page that tells more. */
  to?: string;
}

export function QuotaMeter({ account: { used_bytes, quota_bytes }, to }: QuotaMeterProps) {
  const percent = quota_bytes === 0 ? 100 : Math.min(100, Math.ceil((used_bytes / quota_bytes) * 100));
  const text = t("shell.storage", { used: formatBytes(used_bytes), quota: formatBytes(quota_bytes) });
  return (
    <Stack gap="xs">
      <Progress value={percent} size="sm" color={percent > 90 ? "red.8" : "brand"} aria-label={text} />
      {to ? (
        <Anchor component={Link} to={to} size="xs" c="dimmed">
          {text}
        </Anchor>
      ) : (
        <Text size="xs">{text}</Text>
      )}
    </Stack>
  );
}
