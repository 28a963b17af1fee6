import { lazy } from "react";
import type { Room } from "../room.ts";

export const dialogs: Room["dialogs"] = { versions: lazy(() => import("./VersionsDialog.tsx")) };
