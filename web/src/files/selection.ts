// Which entries of a list are selected. Pure.

export interface Selection {
  /** Whether all entries are selected except `ids`, those that are not loaded yet, too. */
  readonly isAll: boolean;
  readonly ids: ReadonlySet<string>;
  /** Where a range begins. */
  readonly anchor: string | null;
  /** The entry that the keyboard acts on. */
  readonly active: string | null;
}

export const NOTHING: Selection = { isAll: false, ids: new Set(), anchor: null, active: null };

export function isSelected({ isAll, ids }: Selection, id: string): boolean {
  return ids.has(id) !== isAll;
}

/** Return how many entries are selected in a list of `total`. */
export function countSelected({ isAll, ids }: Selection, total: number): number {
  return isAll ? total - ids.size : ids.size;
}

/** Select one entry alone. */
export function selectOnly(id: string): Selection {
  return { isAll: false, ids: new Set([id]), anchor: id, active: id };
}

export function selectAll(selection: Selection): Selection {
  return { ...selection, isAll: true, ids: new Set() };
}

/** Select nothing; the keyboard stays where it is. */
export function selectNone({ active }: Selection): Selection {
  return { ...NOTHING, anchor: active, active };
}

/** Add an entry to the selection, or take it out. */
export function toggle(selection: Selection, id: string): Selection {
  const ids = new Set(selection.ids);
  if (!ids.delete(id)) ids.add(id);
  return { ...selection, ids, anchor: id, active: id };
}

/** Select from the anchor to an entry; `order` is the list. */
export function selectRange(selection: Selection, order: readonly string[], id: string): Selection {
  const from = selection.anchor === null ? -1 : order.indexOf(selection.anchor);
  const to = order.indexOf(id);
  if (from < 0 || to < 0) return selectOnly(id);
  const ids = new Set(order.slice(Math.min(from, to), Math.max(from, to) + 1));
  return { isAll: false, ids, anchor: selection.anchor, active: id };
}

/** Move the keyboard without selecting. */
export function activate(selection: Selection, id: string): Selection {
  return { ...selection, active: id };
}

/** Drop entries that the complete list has no longer. */
export function keepListed(selection: Selection, order: readonly string[]): Selection {
  const listed = new Set(order);
  const ids = new Set([...selection.ids].filter((id) => listed.has(id)));
  const keep = (id: string | null) => (id !== null && listed.has(id) ? id : null);
  const [anchor, active] = [keep(selection.anchor), keep(selection.active)];
  const isSame = ids.size === selection.ids.size && anchor === selection.anchor && active === selection.active;
  return isSame ? selection : { ...selection, ids, anchor, active };
}
