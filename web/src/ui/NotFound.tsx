// An address that no page has.

import { Button } from "@mantine/core";
import { Compass } from "lucide-react";
import { Link } from "react-router";
import { t } from "../lib/i18n.ts";
import { EmptyState } from "./EmptyState.tsx";
import { useTitle } from "./Page.tsx";

export function NotFound() {
  useTitle(t("not-found.title"));
  return (
    <EmptyState
      icon={Compass}
      title={t("not-found.title")}
      text={t("not-found.text")}
      action={
        <Button component={Link} to="/">
          {t("not-found.button")}
        </Button>
      }
    />
  );
}
