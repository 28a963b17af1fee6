// A list that is read page by page, with its states: loading, error, empty, more.

import { Button, Center } from "@mantine/core";
import type { LucideIcon } from "lucide-react";
import type { ReactNode } from "react";
import { t } from "../lib/i18n.ts";
import type { Pages } from "../lib/pages.ts";
import { EmptyState } from "./EmptyState.tsx";
import { ErrorState } from "./ErrorState.tsx";
import { RowSkeletons } from "./Skeletons.tsx";

interface Props<Item> {
  pages: Pages<Item>;
  empty: { icon: LucideIcon; title: string; text: string };
  children: (items: Item[]) => ReactNode;
}

export function PagedList<Item>({ pages: { items, query }, empty, children }: Props<Item>) {
  if (query.isPending) return <RowSkeletons count={6} />;
  if (query.isLoadingError) return <ErrorState error={query.error} onRetry={query.refetch} />;
  if (items.length === 0 && !query.hasNextPage) return <EmptyState {...empty} />;
  return (
    <>
      {children(items)}
      {query.hasNextPage ? (
        <Center mt="md">
          <Button variant="default" loading={query.isFetchingNextPage} onClick={() => query.fetchNextPage()}>
            {t("list.more")}
          </Button>
        </Center>
      ) : null}
    </>
  );
}
