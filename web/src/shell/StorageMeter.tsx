// How much of the quota is used.

import { Box } from "@mantine/core";
import { useMe } from "../account/useMe.ts";
import { QuotaMeter } from "../ui/QuotaMeter.tsx";

export function StorageMeter() {
  const { data: me } = useMe();
  if (me === undefined) return null;
  return (
    <Box p="sm">
      <QuotaMeter account={me} to="/storage" />
    </Box>
  );
}
