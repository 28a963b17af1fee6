// The bar above all pages: name, search, account.

import { Anchor, Box, Burger, Group, Skeleton, Text, TextInput } from "@mantine/core";
import { Search } from "lucide-react";
import { type FormEvent, lazy, Suspense, useEffect, useState } from "react";
import { Link, useLocation, useNavigate, useSearchParams } from "react-router";
import { t } from "../lib/i18n.ts";
import { hasPage } from "../room.ts";
import { Logo } from "../ui/Logo.tsx";

interface HeaderProps {
  isNavigationOpen: boolean;
  onToggleNavigation: () => void;
}

/** Loads while the session is restored: menus are a tenth of the script. */
const AccountMenu = lazy(async () => ({ default: (await import("./AccountMenu.tsx")).AccountMenu }));

const hasSearch = hasPage("search");

export function Header({ isNavigationOpen, onToggleNavigation }: HeaderProps) {
  return (
    <Group h="100%" px="md" justify="space-between" wrap="nowrap" gap="md" component="header">
      <Group gap="sm" wrap="nowrap">
        <Burger
          hiddenFrom="sm"
          size="sm"
          opened={isNavigationOpen}
          onClick={onToggleNavigation}
          aria-label={t(isNavigationOpen ? "shell.menu.close" : "shell.menu.open")}
          aria-expanded={isNavigationOpen}
        />
        <Anchor component={Link} to="/" underline="never" c="inherit" aria-label={t("app.name")}>
          <Group gap="sm" wrap="nowrap">
            <Logo size={28} />
            <Text fw={600} visibleFrom="sm" aria-hidden>
              {t("app.name")}
            </Text>
          </Group>
        </Anchor>
      </Group>
      <Box flex={1} maw={560}>
        {hasSearch && <SearchBox />}
      </Box>
      <Suspense fallback={<Skeleton circle width={40} height={40} />}>
        <AccountMenu />
      </Suspense>
    </Group>
  );
}

function SearchBox() {
  const navigate = useNavigate();
  const { pathname } = useLocation();
  const [parameters] = useSearchParams();
  const shown = pathname === "/search" ? (parameters.get("q") ?? "") : "";
  const [query, setQuery] = useState(shown);
  useEffect(() => setQuery(shown), [shown]);
  const search = (event: FormEvent) => {
    event.preventDefault();
    if (query.trim()) navigate(`/search?q=${encodeURIComponent(query.trim())}`);
  };
  return (
    <search>
      <form onSubmit={search}>
        <TextInput
          type="search"
          name="q"
          aria-label={t("shell.search")}
          placeholder={t("shell.search")}
          leftSection={<Search size={16} aria-hidden />}
          value={query}
          onChange={(event) => setQuery(event.currentTarget.value)}
          maxLength={200}
          radius="xl"
          variant="filled"
        />
      </form>
    </search>
  );
}
