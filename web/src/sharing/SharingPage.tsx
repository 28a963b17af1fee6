// The frame of the three pages about sharing.

import type { ReactNode } from "react";
import { t } from "../lib/i18n.ts";
import { Page } from "../ui/Page.tsx";
import { PageTabs } from "../ui/PageTabs.tsx";

const PAGES = [
  { path: "/shared", label: "sharing.withMe" },
  { path: "/shared/by-me", label: "sharing.byMe" },
  { path: "/links", label: "sharing.linksPage" },
] as const;

export function SharingPage({ title, children }: { title: string; children: ReactNode }) {
  return (
    <Page title={title}>
      <PageTabs label={t("sharing.pages")} pages={PAGES} />
      {children}
    </Page>
  );
}
