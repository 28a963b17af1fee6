// The files before and after one, in the list that the page shows below the preview.

import type { RemoteFile } from "dropbox-api-client";
import { useEffect } from "react";
import { useLocation } from "react-router";
import { type Source, useListing } from "../files/listing.ts";
import { useOrder } from "../files/preferences.ts";

export interface Siblings {
  previous: RemoteFile | null;
  next: RemoteFile | null;
}

const NONE: Source = { kind: "folder", id: "" };

export function useSiblings(file: RemoteFile | undefined): Siblings {
  const location = useLocation();
  const [order] = useOrder();
  const source = file && findSource(location, file);
  const { files, readOn } = useListing(source ?? NONE, order, source !== null && source !== undefined);
  const shown = files.filter(({ kind }) => kind === "file");
  const at = shown.findIndex(({ id }) => id === file?.id);
  const isLast = at === shown.length - 1;
  useEffect(() => {
    if (isLast) readOn();
  }, [isLast, readOn]);
  return at < 0 ? { previous: null, next: null } : { previous: shown[at - 1] ?? null, next: shown[at + 1] ?? null };
}

function findSource({ pathname, search }: { pathname: string; search: string }, file: RemoteFile): Source | null {
  if (pathname === "/recent") return { kind: "recent" };
  if (pathname === "/conflict-copies") return { kind: "conflicts" };
  if (pathname === "/search") return { kind: "search", q: new URLSearchParams(search).get("q")?.trim() ?? "" };
  return file.parent_id === null ? null : { kind: "folder", id: file.parent_id };
}
