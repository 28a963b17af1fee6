// Parts of rows and cards.

import { ActionIcon, Badge, Tooltip } from "@mantine/core";
import type { RemoteFile } from "dropbox-api-client";
import { EllipsisVertical, Link2, Users } from "lucide-react";
import { Link, useLocation } from "react-router";
import { t } from "../lib/i18n.ts";
import { findConflict, formatConflictDay } from "./conflictNames.ts";
import classes from "./files.module.css";

/** The address of a folder, or of the preview of a file in the list that `search` belongs to. */
export function addressOf(
  file: Pick<RemoteFile, "id" | "kind">,
  { pathname, search }: { pathname: string; search: string },
): string {
  if (file.kind === "folder") return `/files/${file.id}`;
  const query = new URLSearchParams(search);
  query.set("preview", file.id);
  return `${pathname}?${query}`;
}

export function FileLink({ file }: { file: RemoteFile }) {
  const location = useLocation();
  return (
    <Link
      to={addressOf(file, location)}
      state={{ openedHere: true }} // Back closes a preview
      className={`${classes.name} own-direction`}
      tabIndex={-1}
      draggable={false}
      title={file.name}
    >
      {file.name}
    </Link>
  );
}

/** What a row or card says below the name. */
export function SecondLine({ file, texts }: { file: RemoteFile; texts: readonly (string | false | null)[] }) {
  const text = texts.filter(Boolean).join(" · ");
  const copy = findConflict(file);
  if (copy === null && text === "") return null;
  return (
    <span className={classes.secondLine}>
      {copy && (
        <Badge
          size="sm"
          variant="light"
          color="orange"
          flex="none"
          title={t("conflictCopy.of", { device: copy.device, day: formatConflictDay(copy.day) })}
        >
          {t("conflictCopy.badge")}
        </Badge>
      )}{" "}
      <span className={classes.second}>{text}</span>
    </span>
  );
}

/** The list handles its click: with Shift it selects a range. */
export function SelectBox({ file, isSelected }: { file: RemoteFile; isSelected: boolean }) {
  return (
    <label className={classes.selectBox} data-check>
      <input
        type="checkbox"
        tabIndex={-1}
        checked={isSelected}
        readOnly
        aria-label={t("files.select", { name: file.name })}
      />
    </label>
  );
}

export function SharedMark({ file }: { file: RemoteFile }) {
  const [Icon, label] = file.shared
    ? [Users, t("files.isShared")]
    : file.has_link
      ? [Link2, t("files.hasLink")]
      : [null, ""];
  if (!Icon) return null;
  return (
    <Tooltip label={label} withArrow>
      <span className={classes.mark} role="img" aria-label={label}>
        <Icon size={16} aria-hidden />
      </span>
    </Tooltip>
  );
}

/** The list opens the menu at it. */
export function MoreButton({ file }: { file: RemoteFile }) {
  return (
    <ActionIcon
      size="md"
      tabIndex={-1}
      aria-label={t("files.actionsFor", { name: file.name })}
      aria-haspopup="menu"
      data-more
    >
      <EllipsisVertical size={18} aria-hidden />
    </ActionIcon>
  );
}
