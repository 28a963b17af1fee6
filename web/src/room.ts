// What a room, a folder of the app for one subject, gives to the whole: `src/ROOM/routes.tsx` exports it.

import type { LucideIcon } from "lucide-react";
import type { ComponentType } from "react";
import type { RouteObject } from "react-router";
import type { MessageKey } from "./lib/i18n.ts";

export interface NavigationItem {
  path: string;
  label: MessageKey;
  icon: LucideIcon;
  /** Place in the list, from 0. */
  order: number;
}

export interface DialogProps {
  /** Value of the search parameter: mostly the id of a file. */
  value: string;
  /** Close the dialog, as Back does. */
  onClose: () => void;
}

export interface Room {
  /** Pages inside the shell, for a user who is signed in. */
  routes?: RouteObject[];
  /** Pages without the shell. */
  publicRoutes?: RouteObject[];
  navigation?: NavigationItem[];
  /** Dialogs by search parameter: `?share=ID`. */
  dialogs?: Record<string, ComponentType<DialogProps>>;
  /** Rendered at the end of the shell as long as a user is signed in: the tray of uploads, live updates. */
  Resident?: ComponentType;
}

const found = import.meta.glob<Room>("./*/routes.tsx", { eager: true });

/** All rooms. A new one is found by its name. */
export const rooms: readonly Room[] = Object.values(found);

/** Whether a room has the page at `/NAME`. */
export function hasPage(name: string): boolean {
  return rooms.some((room) => room.routes?.some(({ path }) => path === name || path === `/${name}`));
}
