// The frame of the three pages about sharing, with tabs between them.

import { Tabs } from "@mantine/core";
import type { ReactNode } from "react";
import { useLocation, useNavigate } from "react-router";
import { t } from "../lib/i18n.ts";
import { Page } from "../ui/Page.tsx";

export function SharingPage({ title, children }: { title: string; children: ReactNode }) {
  const { pathname } = useLocation();
  const navigate = useNavigate();
  return (
    <Page title={title}>
      <Tabs value={pathname} onChange={(path) => path && navigate(path)}>
        <Tabs.List>
          <Tabs.Tab value="/shared">{t("sharing.withMe")}</Tabs.Tab>
          <Tabs.Tab value="/shared/by-me">{t("sharing.byMe")}</Tabs.Tab>
          <Tabs.Tab value="/links">{t("sharing.linksPage")}</Tabs.Tab>
        </Tabs.List>
      </Tabs>
      {children}
    </Page>
  );
}
