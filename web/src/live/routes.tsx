import type { Room } from "../room.ts";
import { LiveUpdates } from "./LiveUpdates.tsx";

export const Resident: Room["Resident"] = LiveUpdates;
