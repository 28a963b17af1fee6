// The pages of the rooms.

import { NavLink, ScrollArea } from "@mantine/core";
import { NavLink as RouterLink, useLocation } from "react-router";
import { t } from "../lib/i18n.ts";
import { rooms } from "../room.ts";
import { StorageMeter } from "./StorageMeter.tsx";

const items = rooms.flatMap((room) => room.navigation ?? []).sort((one, other) => one.order - other.order);

export function Navigation() {
  const { pathname } = useLocation();
  // `/shared/by-me` belongs to the longest path that it begins with.
  const [current] = items
    .filter(({ path }) => pathname === path || pathname.startsWith(`${path}/`))
    .sort((one, other) => other.path.length - one.path.length);
  return (
    <>
      <ScrollArea flex={1}>
        {items.map(({ path, label, icon: Icon }) => (
          <NavLink
            key={path}
            component={RouterLink}
            to={path}
            label={t(label)}
            active={path === current?.path}
            aria-current={path === current?.path ? "page" : undefined}
            leftSection={<Icon size={18} aria-hidden />}
            variant="light"
            fw={path === current?.path ? 600 : 400}
            mb={2}
            bdrs="md"
          />
        ))}
      </ScrollArea>
      <StorageMeter />
    </>
  );
}
