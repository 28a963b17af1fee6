// What the form of a link contains, and what the server gets of it.

import type { Schemas } from "dropbox-api-client";
import type { Link } from "./queries.ts";

export type LinkMode = Schemas["LinkMode"];

/** `never`, a number of days, or `date` for `LinkFields.date`. */
export type Expiry = "never" | "1" | "7" | "30" | "date";

export interface LinkFields {
  mode: LinkMode;
  password: string;
  /** Of a link that has one. */
  removePassword: boolean;
  expiry: Expiry;
  /** Last day, as `YYYY-MM-DD`. */
  date: string;
  maxDownloads: number | null;
  maxBytes: number | null;
  maxFileBytes: number | null;
  maxFiles: number | null;
}

const DAY_MS = 24 * 3600 * 1000;
export const PASSWORD_LENGTH = 4;

export function newLink(): LinkFields {
  return {
    mode: "download",
    password: "",
    removePassword: false,
    expiry: "never",
    date: toDay(new Date(Date.now() + 7 * DAY_MS)),
    maxDownloads: null,
    maxBytes: null,
    maxFileBytes: null,
    maxFiles: null,
  };
}

export function fieldsOf(link: Link): LinkFields {
  return {
    ...newLink(),
    mode: link.mode,
    ...(link.expires_at && { expiry: "date", date: toDay(new Date(link.expires_at)) }),
    maxDownloads: link.max_downloads,
    maxBytes: link.max_bytes,
    maxFileBytes: link.max_file_bytes,
    maxFiles: link.max_files,
  };
}

/** Return what the server shall set. Limits of the other kind of link are left out: it refuses them. */
export function settingsOf(fields: LinkFields, now = new Date()): Schemas["UpdateLink"] {
  const limits =
    fields.mode === "upload"
      ? { max_bytes: fields.maxBytes, max_file_bytes: fields.maxFileBytes, max_files: fields.maxFiles }
      : { max_downloads: fields.maxDownloads };
  const password = fields.removePassword ? null : fields.password || undefined;
  return { ...(password !== undefined && { password }), expires_at: expiryOf(fields, now), ...limits };
}

function expiryOf({ expiry, date }: LinkFields, now: Date): string | null {
  if (expiry === "never") return null;
  if (expiry !== "date") return new Date(now.getTime() + Number(expiry) * DAY_MS).toISOString();
  return endOfDay(date).toISOString();
}

/** Return the last moment of a day in the time zone of the browser. */
function endOfDay(day: string): Date {
  return new Date(`${day}T23:59:59`);
}

/** Return the day of a time in the time zone of the browser. */
export function toDay(time: Date): string {
  const pad = (value: number) => String(value).padStart(2, "0");
  return `${time.getFullYear()}-${pad(time.getMonth() + 1)}-${pad(time.getDate())}`;
}
