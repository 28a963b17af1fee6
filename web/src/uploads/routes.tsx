import type { Room } from "../room.ts";
import { UploadTray } from "./UploadTray.tsx";

export const Resident: Room["Resident"] = UploadTray;
