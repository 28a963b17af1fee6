// An entry of the activity as a sentence.

import type { ChangeEvent } from "dropbox-api-client";
import { currentUserId } from "../lib/client.ts";
import { t } from "../lib/i18n.ts";
import type { Entry } from "./groups.ts";

export function describeEntry({ events }: Entry): string {
  const [event] = events;
  return t(`activity.${event.kind}`, {
    who: describeActor(event),
    count: new Set(events.map(({ file_id }) => file_id)).size,
    what: event.file ? t("activity.itself", { name: event.file.name }) : t("activity.gone"),
    whom: describeGrantee(event),
  });
}

function describeActor({ actor }: ChangeEvent): string {
  if (actor === null) return t("activity.unknown");
  if (actor.kind === "link") return t("activity.link");
  if (actor.kind === "server") return t("activity.server");
  const isReader = actor.id !== null && actor.id === currentUserId();
  const who = isReader ? t("activity.you") : (actor.display_name ?? actor.email ?? t("activity.unknown"));
  return actor.token === null ? who : t("activity.byToken", { who, token: actor.token });
}

/** Return who got or lost access: `you`, an address, or `none` where the event does not tell. */
function describeGrantee({ detail }: ChangeEvent): string {
  if (detail.user_id !== undefined && detail.user_id === currentUserId()) return "you";
  return typeof detail.email === "string" ? detail.email : "none";
}
