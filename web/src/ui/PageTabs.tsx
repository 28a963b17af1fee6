// Links between the pages of one subject, below their title.

import { useEffect, useRef } from "react";
import { NavLink, useLocation } from "react-router";
import { type MessageKey, t } from "../lib/i18n.ts";
import classes from "./PageTabs.module.css";

interface PageTabsProps {
  label: string;
  pages: readonly { path: string; label: MessageKey }[];
}

export function PageTabs({ label, pages }: PageTabsProps) {
  const nav = useRef<HTMLElement>(null);
  const { pathname } = useLocation();
  // On phones not all of them fit.
  useEffect(() => {
    nav.current?.querySelector(`[aria-current="page"]`)?.scrollIntoView({ inline: "center", block: "nearest" });
  }, [pathname]);
  return (
    <nav ref={nav} aria-label={label} className={classes.pages}>
      {pages.map(({ path, label }) => (
        <NavLink key={path} to={path} end className={classes.page ?? ""}>
          {t(label)}
        </NavLink>
      ))}
    </nav>
  );
}
