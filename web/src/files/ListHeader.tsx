// biome-ignore-all lint/a11y/useSemanticElements: a table cannot be virtual.
// biome-ignore-all lint/a11y/useFocusableInteractive: the buttons inside have the focus.

import { UnstyledButton } from "@mantine/core";
import { ArrowDown, ArrowUp } from "lucide-react";
import { t } from "../lib/i18n.ts";
import classes from "./files.module.css";
import type { Order } from "./listing.ts";

interface ListHeaderProps {
  /** Null where the list has an order of its own. */
  order: Order | null;
  setOrder: (order: Order) => void;
  isPhone: boolean;
}

type Column = "name" | "modified" | "size";

export function ListHeader({ order, setOrder, isPhone }: ListHeaderProps) {
  // Phones hide the header, and with it its buttons; they have the menu of the order.
  const column = (name: Column) => <ColumnHeader name={name} order={isPhone ? null : order} setOrder={setOrder} />;
  return (
    <div role="row" aria-rowindex={1} className={isPhone ? classes.hidden : classes.header}>
      <div role="columnheader" aria-label={t("files.column.select")} />
      {column("name")}
      {!isPhone && column("modified")}
      {!isPhone && column("size")}
      <div role="columnheader" aria-label={t("files.actions")} />
    </div>
  );
}

interface ColumnHeaderProps {
  name: Column;
  order: Order | null;
  setOrder: (order: Order) => void;
}

function ColumnHeader({ name, order, setOrder }: ColumnHeaderProps) {
  const label = t(`files.column.${name}`);
  const isUp = order === name;
  const isDown = order === `-${name}`;
  const sort = isUp ? "ascending" : isDown ? "descending" : "none";
  // Times and sizes are mostly wanted from the newest and largest on.
  const next = isUp ? (`-${name}` as const) : isDown ? name : name === "name" ? name : (`-${name}` as const);
  return (
    <div
      role="columnheader"
      {...(order !== null && { "aria-sort": sort })}
      data-column={name}
      className={classes.column}
    >
      {order === null ? (
        label
      ) : (
        <UnstyledButton className={classes.sort} onClick={() => setOrder(next)}>
          {label}
          {isUp && <ArrowUp size={14} aria-hidden />}
          {isDown && <ArrowDown size={14} aria-hidden />}
        </UnstyledButton>
      )}
    </div>
  );
}
