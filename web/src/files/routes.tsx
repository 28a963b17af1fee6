import { Clock, FileDiff, Folder } from "lucide-react";
import { lazy } from "react";
import type { Room } from "../room.ts";

const lazyFiles = async () => ({ Component: (await import("./FilesPage.tsx")).FilesPage });

export const routes: Room["routes"] = [
  { path: "/files/:folderId?", lazy: lazyFiles },
  { path: "/recent", lazy: async () => ({ Component: (await import("./RecentPage.tsx")).RecentPage }) },
  {
    path: "/conflict-copies",
    lazy: async () => ({ Component: (await import("./ConflictCopiesPage.tsx")).ConflictCopiesPage }),
  },
  { path: "/search", lazy: async () => ({ Component: (await import("./SearchPage.tsx")).SearchPage }) },
];

export const navigation: Room["navigation"] = [
  { path: "/files", label: "files.root", icon: Folder, order: 0 },
  { path: "/recent", label: "files.recent", icon: Clock, order: 1 },
  { path: "/conflict-copies", label: "conflictCopy.all", icon: FileDiff, order: 4.5 },
];

export const dialogs: Room["dialogs"] = { details: lazy(() => import("./DetailsDialog.tsx")) };
