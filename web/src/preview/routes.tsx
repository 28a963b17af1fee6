import { lazy } from "react";
import type { Room } from "../room.ts";

export const dialogs: Room["dialogs"] = { preview: lazy(() => import("./PreviewDialog.tsx")) };
