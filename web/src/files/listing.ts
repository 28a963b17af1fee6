// The lists of files that pages show, and that a preview steps through: the same query, so that it is read once.

import { type InfiniteData, keepPreviousData, useInfiniteQuery } from "@tanstack/react-query";
import type { RemoteFile, Schemas } from "dropbox-api-client";
import { useMemo } from "react";
import { client, queryClient } from "../lib/client.ts";
import { keys } from "../lib/keys.ts";
import { findConflict } from "./conflictNames.ts";

export type Order = Schemas["FileOrder"];
export type Source =
  | { kind: "folder"; id: string }
  | { kind: "recent" }
  | { kind: "search"; q: string }
  | { kind: "conflicts" };
type Page = Schemas["FileList"];

/** The first page is small, so that it is soon there. */
const FIRST = 200;
const NEXT = 1000;
const SEARCH = 100;

export interface Listing {
  files: readonly RemoteFile[];
  /** How many files the whole list has, where the server counted them. */
  total: number | null;
  isComplete: boolean;
  isLoading: boolean;
  error: Error | null;
  /** Read the next page, if there is one. */
  readOn: () => void;
  /** Read the rest, and return all files. */
  readAll: () => Promise<readonly RemoteFile[]>;
  retry: () => void;
}

export function useListing(source: Source, order: Order, enabled = true): Listing {
  const query = useInfiniteQuery({ ...describeListing(source, order), enabled });
  const { data, hasNextPage, isFetchingNextPage, isFetchNextPageError, fetchNextPage, refetch } = query;
  const files = useMemo(() => joinPages(data?.pages), [data]);
  return {
    files,
    total: data?.pages[0]?.total ?? null,
    isComplete: data !== undefined && !hasNextPage,
    isLoading: query.isPending,
    error: data === undefined || isFetchNextPageError ? query.error : null,
    readOn: () => {
      if (hasNextPage && !isFetchingNextPage && !isFetchNextPageError) void fetchNextPage();
    },
    readAll: async () => {
      let result = await fetchNextPage();
      while (result.hasNextPage && !result.isError) result = await result.fetchNextPage();
      if (result.isError) throw result.error;
      return joinPages(result.data?.pages);
    },
    retry: () => void (isFetchNextPageError ? fetchNextPage() : refetch()),
  };
}

/** Change what a cached list of a folder shows, until the server's answer replaces it. */
export function patchListings(change: (files: readonly RemoteFile[]) => readonly RemoteFile[]): void {
  for (const key of [keys.folders, keys.recent, keys.searches]) {
    queryClient.setQueriesData<InfiniteData<Page>>({ queryKey: key() }, (data) =>
      data?.pages
        ? { ...data, pages: data.pages.map((page) => ({ ...page, items: [...change(page.items)] })) }
        : undefined,
    );
  }
}

function describeListing(source: Source, order: Order) {
  return {
    queryKey: keyOf(source, order),
    queryFn: ({ pageParam, signal }: { pageParam: string | null; signal: AbortSignal }) =>
      readPage(source, order, pageParam, signal),
    initialPageParam: null as string | null,
    getNextPageParam: (page: Page) => page.next_cursor,
    structuralSharing: false, // it would compare 100,000 files after each page
    ...(source.kind === "search" && { placeholderData: keepPreviousData }),
  };
}

function keyOf(source: Source, order: Order): readonly unknown[] {
  switch (source.kind) {
    case "folder":
      return [...keys.folder(source.id), order];
    case "recent":
      return keys.recent();
    case "search":
      return keys.search(source.q);
    case "conflicts":
      return keys.conflictCopies();
  }
}

async function readPage(source: Source, order: Order, cursor: string | null, signal: AbortSignal): Promise<Page> {
  const limit = cursor === null ? FIRST : NEXT;
  const query = { thumbnails: true, limit, ...(cursor !== null && { cursor }) };
  switch (source.kind) {
    case "folder": {
      const params = { query: { ...query, parent_id: source.id, order, count: cursor === null } };
      return (await client.api.GET("/v1/files", { params, signal })).data;
    }
    case "recent":
      return (await client.api.GET("/v1/files/recent", { params: { query }, signal })).data;
    case "search":
      return (
        await client.api.GET("/v1/search", { params: { query: { ...query, limit: SEARCH, q: source.q } }, signal })
      ).data;
    case "conflicts": {
      // The words find these names and similar ones.
      const params = { query: { ...query, limit: SEARCH, q: "(conflict copy of", kind: "file" as const } };
      const { data } = await client.api.GET("/v1/search", { params, signal });
      return { ...data, items: data.items.filter(findConflict) };
    }
  }
}

function joinPages(pages: readonly Page[] | undefined): readonly RemoteFile[] {
  return pages?.flatMap(({ items }) => items) ?? [];
}
