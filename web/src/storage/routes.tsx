import type { Room } from "../room.ts";

export const routes: Room["routes"] = [{ path: "/storage", lazy: () => import("./StoragePage.tsx") }];
