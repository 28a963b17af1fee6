import { Title } from "@mantine/core";
import { Search } from "lucide-react";
import { useSearchParams } from "react-router";
import { t } from "../lib/i18n.ts";
import { EmptyState } from "../ui/EmptyState.tsx";
import { useTitle } from "../ui/Page.tsx";
import { FileBrowser } from "./FileBrowser.tsx";

export function SearchPage() {
  const [query] = useSearchParams();
  const q = query.get("q")?.trim() ?? "";
  useTitle(q === "" ? t("files.search") : t("files.searchFor", { q }));
  if (q === "") return <EmptyState icon={Search} title={t("files.search")} text={t("files.searchHint")} />;
  return (
    <FileBrowser
      key={q}
      source={{ kind: "search", q }}
      folder={null}
      title={<Title order={1}>{t("files.searchFor", { q })}</Title>}
      label={t("files.searchFor", { q })}
      empty={
        <EmptyState icon={Search} title={t("files.search.emptyTitle", { q })} text={t("files.search.emptyText")} />
      }
    />
  );
}
