// Short messages in the corner of the page.

import { notifications } from "@mantine/notifications";
import { describeError, NotConfirmed } from "./problems.ts";

export function notifyDone(message: string): void {
  notifications.show({ message, color: "teal" });
}

/** Tell that an action failed; `title` says which one. */
export function notifyError(error: unknown, title?: string): void {
  if (error instanceof NotConfirmed) return;
  notifications.show({ ...(title && { title }), message: describeError(error), color: "red", autoClose: 10_000 });
}
