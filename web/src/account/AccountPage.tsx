// The frame of the account's pages: the list of them, and the dialog that confirms changes.

import { Box } from "@mantine/core";
import type { ReactNode } from "react";
import { NavLink } from "react-router";
import { t } from "../lib/i18n.ts";
import { Page } from "../ui/Page.tsx";
import classes from "./AccountPage.module.css";
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
        <Box component="nav" aria-label={t("settings.title")} className={classes.pages}>
          {PAGES.map(({ path, label }) => (
            <NavLink key={path} to={path} className={classes.page ?? ""}>
              {t(label)}
            </NavLink>
          ))}
        </Box>
        {children}
      </Page>
    </Confirmation>
  );
}
