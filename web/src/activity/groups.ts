// Events as people read them: many events of one action are one entry.

import type { ChangeEvent } from "dropbox-api-client";

export interface Entry {
  /** The newest first. */
  readonly events: readonly [ChangeEvent, ...ChangeEvent[]];
}

export interface Day {
  readonly day: Date;
  readonly entries: Entry[];
}

/** Events of one action lie closer together than this. */
const GAP_MS = 10 * 60 * 1000;
/** What the server does with each file. */
const ROUTINE: ReadonlySet<ChangeEvent["kind"]> = new Set(["file.verified", "file.processing"]);

/** Group events, newest first, into entries, and entries into days of the browser's time zone. */
export function groupEvents(events: readonly ChangeEvent[]): Day[] {
  const days: Day[] = [];
  let last: [ChangeEvent, ...ChangeEvent[]] | undefined;
  for (const event of events) {
    if (ROUTINE.has(event.kind)) continue;
    const at = new Date(event.at);
    const day = days.at(-1);
    const isSameDay = day?.day.toDateString() === at.toDateString();
    if (last && isSameDay && isSameAction(last, event)) {
      last.push(event);
      continue;
    }
    last = [event];
    if (day && isSameDay) day.entries.push({ events: last });
    else days.push({ day: at, entries: [{ events: last }] });
  }
  return days;
}

function isSameAction(group: readonly [ChangeEvent, ...ChangeEvent[]], event: ChangeEvent): boolean {
  const [first] = group;
  const newest = group.at(-1) ?? first;
  return (
    first.kind === event.kind &&
    !event.kind.startsWith("share.") &&
    (first.file === null) === (event.file === null) &&
    first.file?.parent_id === event.file?.parent_id &&
    first.actor?.kind === event.actor?.kind &&
    first.actor?.id === event.actor?.id &&
    first.actor?.token === event.actor?.token &&
    new Date(newest.at).getTime() - new Date(event.at).getTime() < GAP_MS
  );
}
