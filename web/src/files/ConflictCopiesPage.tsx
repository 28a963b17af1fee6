import { Title } from "@mantine/core";
import { FileDiff } from "lucide-react";
import { t } from "../lib/i18n.ts";
import { EmptyState } from "../ui/EmptyState.tsx";
import { useTitle } from "../ui/Page.tsx";
import { FileBrowser } from "./FileBrowser.tsx";

export function ConflictCopiesPage() {
  useTitle(t("conflictCopy.all"));
  return (
    <FileBrowser
      source={{ kind: "conflicts" }}
      folder={null}
      title={<Title order={1}>{t("conflictCopy.all")}</Title>}
      label={t("conflictCopy.all")}
      empty={<EmptyState icon={FileDiff} title={t("conflictCopy.none")} text={t("conflictCopy.none.text")} />}
    />
  );
}
