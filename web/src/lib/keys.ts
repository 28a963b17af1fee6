// The keys of cached answers. Each begins with the user, so that no answer is shown to another one.

import { currentUserId } from "./client.ts";

const key = (...parts: readonly unknown[]) => [currentUserId(), ...parts] as const;

export const keys = {
  /** Of everything. */
  all: () => key(),
  me: () => key("me"),
  access: () => key("access"),
  sessions: () => key("sessions"),
  tokens: () => key("tokens"),
  passkeys: () => key("passkeys"),
  devices: () => key("devices"),
  deletion: () => key("deletion"),
  users: (search?: string) => (search === undefined ? key("users") : key("users", search)),
  /** The entries of a folder; null: the root folder. */
  folder: (id: string | null) => key("folder", id ?? "root"),
  folders: () => key("folder"),
  file: (id: string) => key("file", id),
  files: () => key("file"),
  revisions: (id: string) => key("file", id, "revisions"),
  grants: (id: string) => key("file", id, "grants"),
  links: (id: string) => key("file", id, "links"),
  recent: () => key("recent"),
  search: (query: string) => key("search", query),
  searches: () => key("search"),
  conflictCopies: () => key("search", null),
  /** Of the content of a revision. */
  preview: (revisionId: string) => key("preview", revisionId),
  /** What another app of the device has shared. */
  share: (id: string) => key("share", id),
  trash: () => key("trash"),
  sharedWithMe: () => key("shared-with-me"),
  sharedByMe: () => key("shared-by-me"),
  contacts: () => key("contacts"),
  activity: () => key("activity"),
  storage: () => key("storage"),
};
