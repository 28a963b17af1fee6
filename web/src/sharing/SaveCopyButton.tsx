// Copies what another owner shares to the caller's own files.

import { Button } from "@mantine/core";
import type { RemoteFile } from "dropbox-api-client";
import { CopyPlus } from "lucide-react";
import { t } from "../lib/i18n.ts";
import { useSaveCopy } from "./useSaveCopy.ts";

export function SaveCopyButton({ file }: { file: RemoteFile }) {
  const { isCopying, copy } = useSaveCopy(file);
  return (
    <Button variant="light" leftSection={<CopyPlus size={16} />} loading={isCopying} onClick={copy}>
      {t("sharing.saveCopy")}
    </Button>
  );
}
