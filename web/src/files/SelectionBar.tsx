import { ActionIcon, Button, Text } from "@mantine/core";
import { Ellipsis, X } from "lucide-react";
import { t } from "../lib/i18n.ts";
import type { Command } from "./fileActions.tsx";
import classes from "./files.module.css";

interface SelectionBarProps {
  /** How much is selected. */
  text: string;
  commands: readonly Command[];
  isPhone: boolean;
  onMore: (place: { x: number; y: number }) => void;
  onClear: () => void;
}

const SHOWN: readonly Command["id"][] = ["download", "share", "move", "trash"];

/** What can be done with the selection; on phones at the bottom, where the thumb is. */
export function SelectionBar({ text, commands, isPhone, onMore, onClear }: SelectionBarProps) {
  const shown = commands.filter(({ id }) => SHOWN.includes(id));
  return (
    <div className={classes.toolbar} role="toolbar" aria-label={t("files.selectionActions")}>
      <ActionIcon aria-label={t("files.clearSelection")} onClick={onClear}>
        <X size={18} aria-hidden />
      </ActionIcon>
      <Text fw={600} size="sm" className={classes.count}>
        {text}
      </Text>
      <div className={isPhone ? classes.bottomBar : classes.actions}>
        {shown.map(({ id, label, icon: Icon, run }) =>
          isPhone ? (
            <button key={id} type="button" className={classes.bottomAction} onClick={() => void run()}>
              <Icon size={20} aria-hidden />
              {label}
            </button>
          ) : (
            <Button
              key={id}
              variant="default"
              size="sm"
              leftSection={<Icon size={16} aria-hidden />}
              onClick={() => void run()}
            >
              {label}
            </Button>
          ),
        )}
        {isPhone ? (
          <button
            type="button"
            className={classes.bottomAction}
            aria-haspopup="menu"
            onClick={(event) => onMore(placeOf(event.currentTarget))}
          >
            <Ellipsis size={20} aria-hidden />
            {t("files.actions")}
          </button>
        ) : (
          <Button
            variant="default"
            size="sm"
            aria-haspopup="menu"
            leftSection={<Ellipsis size={16} aria-hidden />}
            onClick={(event) => onMore(placeOf(event.currentTarget))}
          >
            {t("files.actions")}
          </Button>
        )}
      </div>
    </div>
  );
}

function placeOf(element: Element): { x: number; y: number } {
  const { left, bottom } = element.getBoundingClientRect();
  return { x: left, y: bottom };
}
