// Undo: a message with a button after an action, and Ctrl+Z for the newest one.

import { Button, Group, Text } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { t } from "./i18n.ts";
import { notifyError } from "./notify.tsx";

export interface Undoable {
  /** What was done: "3 files deleted". */
  text: string;
  undo: () => Promise<unknown>;
}

const SHOWN_MS = 10_000;
const REMEMBERED = 20;

let count = 0;
/** The actions that can be undone, the newest last. */
const actions: { id: string; undo: () => Promise<unknown> }[] = [];

/** Tell what was done, and offer to undo it. Ctrl+Z undoes it also after the message has gone. */
export function offerUndo({ text, undo }: Undoable): void {
  const id = `undo-${++count}`;
  actions.push({ id, undo });
  if (actions.length > REMEMBERED) actions.shift();
  notifications.show({
    id,
    autoClose: SHOWN_MS,
    message: (
      <Group justify="space-between" wrap="nowrap">
        <Text size="sm">{text}</Text>
        <Button variant="subtle" size="compact-sm" onClick={() => void undoAction(id)}>
          {t("undo.button")}
        </Button>
      </Group>
    ),
  });
}

async function undoAction(id: string): Promise<void> {
  const index = actions.findIndex((action) => action.id === id);
  const [action] = index < 0 ? [] : actions.splice(index, 1);
  if (action === undefined) return;
  notifications.hide(id);
  try {
    await action.undo();
    notifications.show({ message: t("undo.done"), autoClose: 3000 });
  } catch (error) {
    notifyError(error, t("undo.failed"));
  }
}

/** Forget what can be undone, as another user signs in. */
export function forgetUndo(): void {
  actions.length = 0;
}

function isTyping(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName))
  );
}

addEventListener("keydown", (event) => {
  const isUndo =
    (event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey && event.key.toLowerCase() === "z";
  const newest = actions.at(-1);
  if (!isUndo || newest === undefined || event.defaultPrevented || isTyping(event.target)) return;
  event.preventDefault();
  void undoAction(newest.id);
});
