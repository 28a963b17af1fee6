// Mouse, touch and keyboard on a list of files. The entries are found by `data-id`.

import type { RemoteFile } from "dropbox-api-client";
import {
  type FocusEvent,
  type KeyboardEvent,
  type MouseEvent,
  type PointerEvent,
  type RefObject,
  useEffect,
  useRef,
} from "react";
import type { LinesHandle } from "./FileLines.tsx";
import {
  activate,
  isSelected,
  type Selection,
  selectAll,
  selectNone,
  selectOnly,
  selectRange,
  toggle,
} from "./selection.ts";

const LONG_PRESS_MS = 500;
const MOVED_PX = 10;

interface ListEventsOptions {
  ids: readonly string[];
  files: readonly RemoteFile[];
  /** Read what the list lacks; null where it is complete. */
  readRest: (() => Promise<readonly RemoteFile[]>) | null;
  selection: Selection;
  setSelection: (selection: Selection) => void;
  lines: RefObject<LinesHandle | null>;
  open: (file: RemoteFile) => void;
  /** Run a command on the selection. */
  run: (id: string) => unknown;
  setMenu: (place: { x: number; y: number } | null) => void;
  /** While a name is edited. */
  isBusy: boolean;
}

export function useListEvents(options: ListEventsOptions) {
  const { ids, files, readRest, selection, setSelection, lines, open, run, setMenu, isBusy } = options;
  const press = useRef<{ timer: number; x: number; y: number } | null>(null);
  const wasLong = useRef(false);
  /** Place of the entry that has the focus. */
  const focused = useRef(-1);
  useEffect(() => {
    // The entry with the focus is gone: the next one gets it.
    if (focused.current < 0 || document.activeElement !== document.body) return;
    lines.current?.focus(Math.min(focused.current, ids.length - 1));
  }, [ids, lines]);

  const selectByClick = (event: MouseEvent, id: string) => {
    if (event.shiftKey) setSelection(selectRange(selection, ids, id));
    else if (event.ctrlKey || event.metaKey) setSelection(toggle(selection, id));
    else setSelection(selectOnly(id));
  };

  const endPress = () => {
    if (press.current) clearTimeout(press.current.timer);
    press.current = null;
  };

  const goTo = (order: readonly string[], at: number, extendsRange: boolean, keepsSelection: boolean) => {
    const id = order[at];
    if (id === undefined) return;
    if (extendsRange) setSelection(selectRange(selection, order, id));
    else if (keepsSelection) setSelection(activate(selection, id));
    else setSelection(selectOnly(id));
    lines.current?.focus(at);
  };

  /** Show the end of a list at once, and go to its last entry when it is read. */
  const goToEnd = async (
    read: () => Promise<readonly RemoteFile[]>,
    extendsRange: boolean,
    keepsSelection: boolean,
  ) => {
    lines.current?.showEnd();
    const order = (await read()).map(({ id }) => id);
    requestAnimationFrame(() => goTo(order, order.length - 1, extendsRange, keepsSelection)); // after they are shown
  };

  return {
    onFocus: ({ target }: FocusEvent) => {
      focused.current = ids.indexOf(idOf(target) ?? "");
    },
    onBlur: ({ target }: FocusEvent) => {
      if (target.isConnected) focused.current = -1;
    },
    // In the capture phase: links must not open where the click selects.
    onClickCapture: (event: MouseEvent) => {
      const target = event.target as HTMLElement;
      const id = idOf(target);
      if (wasLong.current) {
        wasLong.current = false;
        event.preventDefault();
        return;
      }
      if (isBusy) return;
      if (id === null) {
        if (!target.closest("button, a, input, label")) setSelection(selectNone(selection));
        return;
      }
      if (target.closest("[data-check]")) {
        event.preventDefault();
        setSelection(event.shiftKey ? selectRange(selection, ids, id) : toggle(selection, id));
        return;
      }
      const more = target.closest("[data-more]");
      if (more) {
        if (!isSelected(selection, id)) setSelection(selectOnly(id));
        const { left, bottom } = more.getBoundingClientRect();
        setMenu({ x: left, y: bottom });
        return;
      }
      const isTouch = isTouchClick(event);
      const isLink = target.closest("a") !== null;
      if (isTouch) {
        event.preventDefault();
        const file = files[ids.indexOf(id)];
        if (hasSelection(selection)) setSelection(toggle(selection, id));
        else if (file) open(file);
        return;
      }
      if (isLink && !event.shiftKey && !event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      selectByClick(event, id);
    },
    onDoubleClick: (event: MouseEvent) => {
      const file = files[ids.indexOf(idOf(event.target) ?? "")];
      const isControl = (event.target as HTMLElement).closest("a, button, input, label") !== null;
      if (file && !isControl && !isBusy) open(file);
    },
    onContextMenu: (event: MouseEvent) => {
      if (isBusy) return;
      event.preventDefault();
      if (press.current) return; // a long touch selects
      const element = (event.target as HTMLElement).closest<HTMLElement>("[data-id]");
      const id = element?.dataset.id ?? null;
      if (id !== null && !isSelected(selection, id)) setSelection(selectOnly(id));
      if (id === null) setSelection(selectNone(selection));
      setMenu({ x: event.clientX, y: event.clientY });
    },
    onPointerDown: (event: PointerEvent) => {
      endPress();
      wasLong.current = false;
      const id = idOf(event.target);
      if (event.pointerType !== "touch" || id === null) return;
      const timer = window.setTimeout(() => {
        wasLong.current = true;
        setSelection(toggle(selection, id));
      }, LONG_PRESS_MS);
      press.current = { timer, x: event.clientX, y: event.clientY };
    },
    onPointerMove: (event: PointerEvent) => {
      const start = press.current;
      if (start && Math.hypot(event.clientX - start.x, event.clientY - start.y) > MOVED_PX) endPress();
    },
    onPointerUp: endPress,
    onPointerCancel: endPress,
    onKeyDown: (event: KeyboardEvent) => {
      if (isBusy || (event.target as HTMLElement).closest("input:not([type=checkbox])")) return;
      const isControl = event.ctrlKey || event.metaKey;
      if (event.key === "End" && readRest && !event.altKey) {
        event.preventDefault();
        goToEnd(readRest, event.shiftKey, isControl).catch(() => undefined); // the list shows why it has no more
        return;
      }
      const current = ids.indexOf(selection.active ?? idOf(event.target) ?? "");
      const { columns = 1, page = 1 } = lines.current ?? {};
      const step = stepOf(event.key, columns, page, ids.length);
      if (step !== null && !event.altKey) {
        const at = Math.min(Math.max(0, current < 0 ? 0 : current + step), ids.length - 1);
        goTo(ids, at, event.shiftKey, isControl);
      } else if (event.key === " " && current >= 0) {
        setSelection(toggle(selection, ids[current] ?? ""));
      } else if (isControl && event.key.toLowerCase() === "a") {
        setSelection(selectAll(selection));
      } else if (event.key === "Escape") {
        setSelection(selectNone(selection));
      } else if (event.key === "Enter" && current >= 0 && !(event.target as HTMLElement).closest("button")) {
        const file = files[current];
        if (file) open(file);
      } else if (event.key === "F2") {
        run("rename");
      } else if (event.key === "Delete") {
        run("trash");
      } else {
        return;
      }
      event.preventDefault();
    },
  };
}

function stepOf(key: string, columns: number, page: number, length: number): number | null {
  const right = document.dir === "rtl" ? -1 : 1;
  switch (key) {
    case "ArrowDown":
      return columns;
    case "ArrowUp":
      return -columns;
    case "ArrowRight":
      return columns > 1 ? right : null;
    case "ArrowLeft":
      return columns > 1 ? -right : null;
    case "PageDown":
      return page * columns;
    case "PageUp":
      return -page * columns;
    case "Home":
      return -length;
    case "End":
      return length;
    default:
      return null;
  }
}

function idOf(target: EventTarget | null): string | null {
  return (target as HTMLElement).closest<HTMLElement>("[data-id]")?.dataset.id ?? null;
}

function hasSelection({ isAll, ids }: Selection): boolean {
  return isAll || ids.size > 0;
}

function isTouchClick(event: MouseEvent): boolean {
  return (event.nativeEvent as globalThis.PointerEvent).pointerType === "touch";
}
