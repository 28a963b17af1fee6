// The frame of the account's pages: the list of them, and the dialog that confirms changes.

import type { ReactNode } from "react";
import { t } from "../lib/i18n.ts";
import { Page } from "../ui/Page.tsx";
import { PageTabs } from "../ui/PageTabs.tsx";
import { Confirmation } from "./Confirmation.tsx";

const PAGES = [
  { path: "/account/profile", label: "profile.title" },
  { path: "/account/security", label: "security.title" },
  { path: "/account/sessions", label: "sessions.title" },
  { path: "/account/tokens", label: "tokens.title" },
  { path: "/account/deletion", label: "deletion.title" },
] as const;

export function AccountPage({ title, children }: { title: string; children: ReactNode }) {
  return (
    <Confirmation>
      <Page title={t("settings.title")} tabTitle={title} width={760}>
        <PageTabs label={t("settings.title")} pages={PAGES} />
        {children}
      </Page>
    </Confirmation>
  );
}
