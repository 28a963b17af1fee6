// The layout of all pages after the sign-in: header, navigation, the page, dialogs, and what stays between pages.

import { AppShell } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { Suspense, useEffect } from "react";
import { Outlet, useLocation, useNavigation } from "react-router";
import { LostSession } from "../account/LostSession.tsx";
import { t } from "../lib/i18n.ts";
import { rooms } from "../room.ts";
import { PageSkeleton } from "../ui/Skeletons.tsx";
import { Banners } from "./Banners.tsx";
import { Dialogs } from "./dialogs.tsx";
import { Header } from "./Header.tsx";
import { Navigation } from "./Navigation.tsx";
import { RequireAccess } from "./RequireAccess.tsx";

export function Shell() {
  return (
    <RequireAccess>
      <Layout />
    </RequireAccess>
  );
}

function Layout() {
  const [isOpen, { toggle, close }] = useDisclosure();
  const { pathname } = useLocation();
  const isLoading = useNavigation().state === "loading";
  useEffect(close, [pathname]);
  return (
    <AppShell
      header={{ height: 60 }}
      navbar={{ width: 232, breakpoint: "sm", collapsed: { mobile: !isOpen } }}
      layout="default"
    >
      <a className="skip-link" href="#main">
        {t("shell.skip")}
      </a>
      <AppShell.Header>
        <Header isNavigationOpen={isOpen} onToggleNavigation={toggle} />
      </AppShell.Header>
      <AppShell.Navbar p="sm" aria-label={t("shell.navigation")} {...(!isOpen && { visibleFrom: "sm" })}>
        <Navigation />
      </AppShell.Navbar>
      <AppShell.Main id="main" tabIndex={-1} aria-busy={isLoading}>
        <Banners />
        <Suspense fallback={<PageSkeleton />}>
          <Outlet />
        </Suspense>
      </AppShell.Main>
      <Suspense>
        <Dialogs />
      </Suspense>
      {rooms.map(({ Resident }, index) => {
        return Resident && <Resident key={index} />;
      })}
      <LostSession />
    </AppShell>
  );
}
