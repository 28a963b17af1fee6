// Lists that the server gives page by page.

import { type QueryKey, type UseInfiniteQueryResult, useInfiniteQuery } from "@tanstack/react-query";

interface PageOf<Item> {
  items: Item[];
  next_cursor: string | null;
}

export interface Pages<Item> {
  /** Of the pages that were read. */
  readonly items: Item[];
  readonly query: UseInfiniteQueryResult;
}

/** Read a list page by page. `read` gets `{}` for the first page. */
export function usePages<Item>(
  queryKey: QueryKey,
  read: (page: { cursor?: string }, signal: AbortSignal) => Promise<{ data: PageOf<Item> }>,
  options: { enabled?: boolean; refetchInterval?: number } = {},
): Pages<Item> {
  const query = useInfiniteQuery({
    queryKey,
    queryFn: async ({ pageParam, signal }) =>
      (await read(pageParam === null ? {} : { cursor: pageParam }, signal)).data,
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next_cursor,
    ...options,
  });
  return { items: query.data?.pages.flatMap((page) => page.items) ?? [], query };
}
