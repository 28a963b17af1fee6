import { Button } from "@mantine/core";
import type { RemoteFile } from "dropbox-api-client";
import { FileQuestion } from "lucide-react";
import { downloadFiles } from "../files/changes.tsx";
import { t } from "../lib/i18n.ts";
import { EmptyState } from "../ui/EmptyState.tsx";

/** What cannot be shown can be downloaded. */
export function NoPreview({ file, text }: { file: RemoteFile; text?: string }) {
  return (
    <EmptyState
      icon={FileQuestion}
      title={t("preview.none")}
      text={text ?? t("preview.noneText")}
      action={<Button onClick={() => void downloadFiles([file])}>{t("preview.download")}</Button>}
    />
  );
}
