// A size in a unit of choice.

import { Group, NativeSelect, NumberInput } from "@mantine/core";
import { useState } from "react";
import { formatUnit } from "../lib/format.ts";
import { t } from "../lib/i18n.ts";
import lists from "../ui/lists.module.css";

const UNITS = { MB: 1_000_000, GB: 1_000_000_000, TB: 1_000_000_000_000 } as const;
type Unit = keyof typeof UNITS;

interface Props {
  label: string;
  /** Bytes. */
  value: number | null;
  onChange: (bytes: number | null) => void;
}

export function SizeInput({ label, value, onChange }: Props) {
  const [unit, setUnit] = useState<Unit>(() => fittingUnit(value));
  const toBytes = (amount: string | number, of: Unit) =>
    typeof amount === "number" && amount > 0 ? Math.max(1, Math.round(amount * UNITS[of])) : null;
  return (
    <Group gap={4} align="flex-end" wrap="nowrap">
      <NumberInput
        className={lists.grow}
        label={label}
        min={0}
        value={value === null ? "" : value / UNITS[unit]}
        onChange={(amount) => onChange(toBytes(amount, unit))}
      />
      <NativeSelect
        w={76}
        aria-label={t("sharing.unit", { label })}
        data={Object.entries(UNITS).map(([value, bytes]) => ({ value, label: formatUnit(bytes) }))}
        value={unit}
        onChange={(event) => {
          const next = event.currentTarget.value as Unit;
          setUnit(next);
          if (value !== null) onChange(toBytes(value / UNITS[unit], next));
        }}
      />
    </Group>
  );
}

function fittingUnit(bytes: number | null): Unit {
  if (bytes === null) return "GB";
  if (bytes >= UNITS.TB) return "TB";
  return bytes >= UNITS.GB ? "GB" : "MB";
}
