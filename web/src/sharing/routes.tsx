import { Link2, Users } from "lucide-react";
import { lazy } from "react";
import type { Room } from "../room.ts";

export const routes: Room["routes"] = [
  { path: "/shared", lazy: () => import("./SharedWithMePage.tsx") },
  { path: "/shared/by-me", lazy: () => import("./SharedByMePage.tsx") },
  { path: "/links", lazy: () => import("./LinksPage.tsx") },
];

export const navigation: Room["navigation"] = [
  { path: "/shared", label: "sharing.nav", icon: Users, order: 3 },
  { path: "/links", label: "sharing.linksPage", icon: Link2, order: 3.5 },
];

export const dialogs: Room["dialogs"] = { share: lazy(() => import("./ShareDialog.tsx")) };
