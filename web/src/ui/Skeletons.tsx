// What stands in the place of content that is being loaded: of the same height, so that nothing moves.

import { Box, Group, Skeleton, Stack, VisuallyHidden } from "@mantine/core";
import { t } from "../lib/i18n.ts";

/** Rows of a list; `height` of one in pixels. */
export function RowSkeletons({ count = 8, height = 48 }: { count?: number; height?: number }) {
  return (
    <Stack gap={0} role="status">
      <VisuallyHidden>{t("loading")}</VisuallyHidden>
      {Array.from({ length: count }, (_, index) => (
        <Group key={index} h={height} gap="sm" px="sm" wrap="nowrap">
          <Skeleton h={28} w={28} radius="sm" />
          <Skeleton h={14} w={`${60 - ((index * 13) % 35)}%`} />
        </Group>
      ))}
    </Stack>
  );
}

/** A page that is being loaded. */
export function PageSkeleton() {
  return (
    <Box px={{ base: "md", sm: "lg" }} py="md">
      <Skeleton h={20} w={200} mt={8} mb={32} />
      <RowSkeletons />
    </Box>
  );
}
