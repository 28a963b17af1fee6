// What stands in the place of content that is being loaded: of the same height, so that nothing moves.

import { Box, Skeleton, Stack, VisuallyHidden } from "@mantine/core";
import { t } from "../lib/i18n.ts";

/** Rows of a list; `height` of one in pixels. */
export function RowSkeletons({ count = 8, height = 48 }: { count?: number; height?: number }) {
  return (
    <Stack gap={0} role="status">
      <VisuallyHidden>{t("loading")}</VisuallyHidden>
      {Array.from({ length: count }, (_, index) => (
        <Box key={index} h={height} py={(height - 16) / 2}>
          <Skeleton h={16} w={`${70 - ((index * 13) % 40)}%`} />
        </Box>
      ))}
    </Stack>
  );
}

/** A page that is being loaded. */
export function PageSkeleton() {
  return (
    <Box p={{ base: "md", sm: "lg" }}>
      <Skeleton h={32} w={200} mb="lg" />
      <RowSkeletons />
    </Box>
  );
}
