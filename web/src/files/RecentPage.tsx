import { Title } from "@mantine/core";
import { Clock } from "lucide-react";
import { t } from "../lib/i18n.ts";
import { EmptyState } from "../ui/EmptyState.tsx";
import { useTitle } from "../ui/Page.tsx";
import { FileBrowser } from "./FileBrowser.tsx";

export function RecentPage() {
  useTitle(t("files.recent"));
  return (
    <FileBrowser
      source={{ kind: "recent" }}
      folder={null}
      title={<Title order={1}>{t("files.recent")}</Title>}
      label={t("files.recent")}
      empty={<EmptyState icon={Clock} title={t("files.recent.emptyTitle")} text={t("files.recent.emptyText")} />}
    />
  );
}
