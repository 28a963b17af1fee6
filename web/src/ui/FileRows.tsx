// A list of files outside the file browser: icon, name, a line about it, and what can be done.

import { Text } from "@mantine/core";
import { useWindowVirtualizer } from "@tanstack/react-virtual";
import type { RemoteFile } from "dropbox-api-client";
import { type ComponentProps, type ReactNode, useLayoutEffect, useRef, useState } from "react";
import { Link } from "react-router";
import { FileIcon } from "../files/FileIcon.tsx";
import classes from "./FileRows.module.css";

export function FileRows({ label, children }: { label: string; children: ReactNode }) {
  return (
    <ul className={classes.list} aria-label={label}>
      {children}
    </ul>
  );
}

const ROW_HEIGHT = 57;

interface VirtualFileRowsProps<Item> {
  label: string;
  items: readonly Item[];
  children: (item: Item, place: Place) => ReactNode;
}

/** Where a row of many stands in the list. */
type Place = ComponentProps<"li">;

/** A list in a page that scrolls, of which only the rows on the screen exist. */
export function VirtualFileRows<Item extends { id: string }>({ label, items, children }: VirtualFileRowsProps<Item>) {
  const list = useRef<HTMLUListElement>(null);
  const [top, setTop] = useState(0);
  // What stands above may change.
  useLayoutEffect(() => setTop(Math.round((list.current?.getBoundingClientRect().top ?? 0) + window.scrollY)));
  const virtualizer = useWindowVirtualizer({
    count: items.length,
    estimateSize: () => ROW_HEIGHT,
    getItemKey: (index) => items[index]?.id ?? index,
    overscan: 8,
    scrollMargin: top,
  });
  return (
    <ul ref={list} className={classes.list} style={{ height: virtualizer.getTotalSize() }} aria-label={label}>
      {virtualizer.getVirtualItems().map(({ index, start }) => {
        const item = items[index];
        const place = {
          ref: virtualizer.measureElement,
          "data-index": index,
          "aria-setsize": items.length,
          "aria-posinset": index + 1,
          style: { position: "absolute", insetInline: 0, top: 0, transform: `translateY(${start - top}px)` },
        } as const;
        return item && children(item, place);
      })}
    </ul>
  );
}

interface RowProps {
  file: RemoteFile;
  /** Where the name leads; without it, the name is text. */
  to?: { pathname?: string; search?: string } | undefined;
  about: ReactNode;
  before?: ReactNode;
  place?: Place | undefined;
  children?: ReactNode;
}

export function FileRowItem({ file, children, ...row }: RowProps) {
  return (
    <Row icon={<FileIcon file={file} size={28} />} title={file.name} {...row}>
      {children}
    </Row>
  );
}

export function Row({
  icon,
  title,
  to,
  about,
  before,
  place,
  children,
}: Omit<RowProps, "file"> & { icon: ReactNode; title: string }) {
  return (
    <li className={classes.row} {...place}>
      {before}
      {icon}
      <div className={classes.main}>
        {to ? (
          <Text component={Link} to={to} state={{ openedHere: true }} size="sm" fw={500} className={classes.name}>
            {title}
          </Text>
        ) : (
          <Text size="sm" fw={500} className={classes.name}>
            {title}
          </Text>
        )}
        {about ? (
          <Text size="xs" c="dimmed" component="div" lineClamp={3}>
            {about}
          </Text>
        ) : null}
      </div>
      {children}
    </li>
  );
}

/** Where a file opens: a folder as a page, a file as a preview above the page. */
export function placeOf({ id, kind }: Pick<RemoteFile, "id" | "kind">): { pathname?: string; search?: string } {
  return kind === "folder" ? { pathname: `/files/${id}` } : { search: `?preview=${id}` };
}
