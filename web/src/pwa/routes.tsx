// `/share-target`: files that another app of the device shares with this one.

import type { RouteObject } from "react-router";
import { onLeave } from "../lib/client.ts";
import { clearShares } from "./shares.ts";

export const routes: RouteObject[] = [
  {
    path: "/share-target",
    lazy: async () => ({ Component: (await import("./ShareTargetPage.tsx")).ShareTargetPage }),
  },
];

onLeave((departure) => departure === "sign-out" && clearShares());
