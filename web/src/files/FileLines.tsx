// A virtual list or grid of files: only the lines on the screen exist. Lines that are not read yet are skeletons.

// biome-ignore-all lint/a11y/useSemanticElements: a table cannot be virtual.
// biome-ignore-all lint/a11y/useFocusableInteractive: rows have the focus in the list, cells in the grid.
import { Skeleton } from "@mantine/core";
import { useElementSize } from "@mantine/hooks";
import { defaultRangeExtractor, useVirtualizer } from "@tanstack/react-virtual";
import type { RemoteFile } from "dropbox-api-client";
import { type ReactNode, type RefObject, useEffect, useImperativeHandle, useRef } from "react";
import { t } from "../lib/i18n.ts";
import { FileCard } from "./FileCard.tsx";
import { FileListRow } from "./FileListRow.tsx";
import classes from "./files.module.css";
import type { View } from "./preferences.ts";
import { isSelected, type Selection } from "./selection.ts";

const CARD_WIDTH = 180;
const CARD_HEIGHT = 196;
const ROW_HEIGHT = 48;
const PHONE_ROW_HEIGHT = 60;
/** Files that are read before they scroll into sight. */
const AHEAD = 400;
/** Skeletons after the loaded files while more are there, at least. */
const GUESSED = 20;

export interface LinesHandle {
  /** Show an entry and give it the focus. */
  focus: (index: number) => void;
  showEnd: () => void;
  columns: number;
  /** Lines that fit on the screen. */
  page: number;
}

interface FileLinesProps {
  files: readonly RemoteFile[];
  total: number | null;
  isComplete: boolean;
  view: View;
  isPhone: boolean;
  selection: Selection;
  cutIds: ReadonlySet<string>;
  dropId: string | null;
  renaming: string | null;
  onRenamed: () => void;
  showsFolder: boolean;
  label: string;
  header: ReactNode;
  handle: RefObject<LinesHandle | null>;
  readOn: () => void;
}

export function FileLines(props: FileLinesProps) {
  const { files, isComplete, view, isPhone, selection, readOn } = props;
  const scroller = useRef<HTMLDivElement>(null);
  const { ref: measured, width } = useElementSize();
  const columns = view === "grid" ? Math.max(2, Math.floor(width / CARD_WIDTH)) : 1;
  const lineHeight = view === "grid" ? CARD_HEIGHT : isPhone ? PHONE_ROW_HEIGHT : ROW_HEIGHT;
  const total = isComplete ? files.length : Math.max(files.length + GUESSED, props.total ?? 0);
  const lines = Math.ceil(total / columns);
  const activeIndex = selection.active === null ? -1 : files.findIndex(({ id }) => id === selection.active);
  const activeLine = Math.floor(activeIndex / columns);
  const virtualizer = useVirtualizer({
    count: lines,
    getScrollElement: () => scroller.current,
    estimateSize: () => lineHeight,
    overscan: 8,
    // The focused line stays, wherever the person scrolls.
    rangeExtractor: (range) => {
      const indexes = defaultRangeExtractor(range);
      if (activeLine < 0 || activeLine >= lines || indexes.includes(activeLine)) return indexes;
      return [...indexes, activeLine].sort((one, other) => one - other);
    },
  });
  useEffect(() => virtualizer.measure(), [lineHeight, columns]);

  const shown = virtualizer.getVirtualItems();
  const lastShown = (virtualizer.range?.endIndex ?? 0) * columns;
  useEffect(() => {
    if (!isComplete && lastShown + AHEAD > files.length) readOn();
  }, [isComplete, lastShown, files.length, readOn]);

  const toFocus = useRef<string | null>(null);
  /** Give an entry the focus, when it is on the screen: that may take several renderings. */
  const focusEntry = () => {
    if (toFocus.current === null) return;
    const entry = scroller.current?.querySelector<HTMLElement>(`[data-id="${toFocus.current}"]`);
    if (!entry) return;
    toFocus.current = null;
    entry.focus({ preventScroll: true });
    entry.scrollIntoView({ block: "nearest" }); // on a low screen the page scrolls, too
  };
  useEffect(focusEntry);

  useImperativeHandle(
    props.handle,
    () => ({
      columns,
      page: Math.max(1, Math.floor((scroller.current?.clientHeight ?? 0) / lineHeight) - 1),
      focus: (index) => {
        virtualizer.scrollToIndex(Math.floor(index / columns));
        toFocus.current = files[index]?.id ?? null;
        requestAnimationFrame(focusEntry);
      },
      showEnd: () => virtualizer.scrollToIndex(lines - 1),
    }),
    [columns, files, lineHeight, lines, virtualizer],
  );

  const hasHeader = view === "list";
  const focusable = Math.max(activeIndex, 0);
  const makeEntry = (index: number) => {
    const file = files[index];
    if (!file) return null;
    const entry = {
      file,
      isSelected: isSelected(selection, file.id),
      isFocusable: index === focusable,
      isCut: props.cutIds.has(file.id),
      isDropTarget: props.dropId === file.id,
      isRenaming: props.renaming === file.id,
      onRenamed: props.onRenamed,
      showsFolder: props.showsFolder,
      isPhone,
      rowIndex: index + 2, // after the header
    };
    return view === "list" ? <FileListRow key={file.id} {...entry} /> : <FileCard key={file.id} {...entry} />;
  };

  return (
    <div
      role="grid"
      aria-label={props.label}
      aria-multiselectable
      aria-rowcount={isComplete ? lines + (hasHeader ? 1 : 0) : -1}
      aria-colcount={view === "grid" ? columns : undefined}
      className={classes.grid}
      data-view={view}
    >
      {hasHeader && props.header}
      <div className={classes.scroller} ref={scroller} role="presentation">
        <div ref={measured} className={classes.canvas} style={{ height: virtualizer.getTotalSize() }} role="rowgroup">
          {shown.map(({ index: line, start }) => {
            const first = line * columns;
            return (
              <div
                key={files[first]?.id ?? `line-${line}`}
                {...(view === "grid" ? { role: "row", "aria-rowindex": line + 1 } : { role: "presentation" })}
                className={classes.line}
                style={{
                  transform: `translateY(${start}px)`,
                  height: lineHeight,
                  gridTemplateColumns: `repeat(${columns}, minmax(0, 1fr))`,
                }}
              >
                {Array.from({ length: Math.min(columns, total - first) }, (_, column) => {
                  const index = first + column;
                  return makeEntry(index) ?? <LineSkeleton key={`skeleton-${index}`} view={view} row={line + 2} />;
                })}
              </div>
            );
          })}
        </div>
      </div>
    </div>
  );
}

function LineSkeleton({ view, row }: { view: View; row: number }) {
  if (view === "grid") {
    return (
      <div role="gridcell" className={classes.card} aria-label={t("files.loading")}>
        <Skeleton height={120} />
        <Skeleton height={14} mt="sm" width="70%" />
      </div>
    );
  }
  return (
    <div role="row" aria-rowindex={row} className={classes.row}>
      <div role="gridcell" className={classes.skeletonCell} aria-label={t("files.loading")}>
        <Skeleton height={24} width={24} />
        <Skeleton height={14} width={`${30 + ((row * 7) % 40)}%`} />
      </div>
    </div>
  );
}
