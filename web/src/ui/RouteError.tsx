// A page that failed while it was loaded or rendered.

import { Button } from "@mantine/core";
import { RefreshCw, TriangleAlert } from "lucide-react";
import { t } from "../lib/i18n.ts";
import { useOutdated } from "../lib/newVersion.ts";
import { EmptyState } from "./EmptyState.tsx";

export function RouteError() {
  const isOutdated = useOutdated();
  const reload = <Button onClick={() => location.reload()}>{t("error.reload")}</Button>;
  return isOutdated ? (
    <EmptyState icon={RefreshCw} title={t("version.title")} text={t("version.text")} action={reload} />
  ) : (
    <div role="alert">
      <EmptyState icon={TriangleAlert} title={t("error.crash.title")} text={t("error.crash.text")} action={reload} />
    </div>
  );
}
