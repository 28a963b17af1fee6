// biome-ignore-all lint/a11y/useSemanticElements: a table cannot be virtual.

import { memo } from "react";
import { t } from "../lib/i18n.ts";
import { findConflict } from "./conflictNames.ts";
import { type FileEntryProps, folderOf } from "./FileEntry.ts";
import { FileIcon } from "./FileIcon.tsx";
import { FileLink, MoreButton, SecondLine, SelectBox, SharedMark } from "./FileParts.tsx";
import classes from "./files.module.css";
import { RenameField } from "./RenameField.tsx";

export const FileCard = memo(function FileCard(props: FileEntryProps) {
  const { file, isSelected, isPhone } = props;
  const place = props.showsFolder ? folderOf(file) : null;
  return (
    <div
      role="gridcell"
      className={classes.card}
      data-id={file.id}
      data-cut={props.isCut || undefined}
      data-drop={props.isDropTarget || undefined}
      aria-selected={isSelected}
      aria-label={[file.name, findConflict(file) && t("conflictCopy.badge"), place].filter(Boolean).join(" ")}
      tabIndex={props.isFocusable ? 0 : -1}
      draggable={!props.isRenaming && !isPhone}
    >
      <div className={classes.cardImage}>
        <FileIcon file={file} size={file.thumbnails ? 180 : 56} />
      </div>
      <div className={classes.cardSelect}>
        <SelectBox file={file} isSelected={isSelected} />
      </div>
      <div className={classes.cardName}>
        {props.isRenaming ? (
          <RenameField file={file} onEnd={props.onRenamed} />
        ) : (
          <div className={classes.names}>
            <FileLink file={file} /> {/* the space is read, as in the label */}
            <SecondLine file={file} texts={[place]} />
          </div>
        )}
        <SharedMark file={file} />
        <MoreButton file={file} />
      </div>
    </div>
  );
});
