// How this browser shows lists of files.

import { useLocalStorage } from "@mantine/hooks";
import type { Order } from "./listing.ts";

export type View = "list" | "grid";

export function useView() {
  return useLocalStorage<View>({ key: "files-view", defaultValue: "list", getInitialValueInEffect: false });
}

export function useOrder() {
  return useLocalStorage<Order>({ key: "files-order", defaultValue: "name", getInitialValueInEffect: false });
}
