import { History } from "lucide-react";
import type { Room } from "../room.ts";

export const routes: Room["routes"] = [{ path: "/activity", lazy: () => import("./ActivityPage.tsx") }];

export const navigation: Room["navigation"] = [{ path: "/activity", label: "activity.title", icon: History, order: 4 }];
