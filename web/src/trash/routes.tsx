import { Trash2 } from "lucide-react";
import type { Room } from "../room.ts";

export const routes: Room["routes"] = [{ path: "/trash", lazy: () => import("./TrashPage.tsx") }];

export const navigation: Room["navigation"] = [{ path: "/trash", label: "trash.title", icon: Trash2, order: 5 }];
