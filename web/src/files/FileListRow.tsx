// biome-ignore-all lint/a11y/useSemanticElements: a table cannot be virtual.
// biome-ignore-all lint/a11y/useFocusableInteractive: rows have the focus in the list, cells in the grid.

import { memo } from "react";
import { formatBytes, formatShort } from "../lib/format.ts";
import { type FileEntryProps, folderOf } from "./FileEntry.ts";
import { FileIcon } from "./FileIcon.tsx";
import { FileLink, MoreButton, SecondLine, SelectBox, SharedMark } from "./FileParts.tsx";
import classes from "./files.module.css";
import { RenameField } from "./RenameField.tsx";

export const FileListRow = memo(function FileListRow(props: FileEntryProps) {
  const { file, isSelected, isPhone } = props;
  const size = file.size_bytes === null ? "" : formatBytes(file.size_bytes);
  const modified = formatShort(file.modified_at);
  const place = props.showsFolder ? folderOf(file) : null;
  return (
    <div
      role="row"
      className={classes.row}
      data-id={file.id}
      data-cut={props.isCut || undefined}
      data-drop={props.isDropTarget || undefined}
      aria-rowindex={props.rowIndex}
      aria-selected={isSelected}
      aria-label={file.name}
      tabIndex={props.isFocusable ? 0 : -1}
      draggable={!props.isRenaming && !isPhone}
    >
      <div role="gridcell" className={classes.selectCell}>
        <SelectBox file={file} isSelected={isSelected} />
      </div>
      <div role="gridcell" className={classes.nameCell}>
        <FileIcon file={file} size={isPhone ? 36 : 28} />
        {props.isRenaming ? (
          <RenameField file={file} onEnd={props.onRenamed} />
        ) : (
          <div className={classes.names}>
            <FileLink file={file} />
            <SecondLine file={file} texts={[isPhone && modified, isPhone && size, place]} />
          </div>
        )}
        <SharedMark file={file} />
      </div>
      {!isPhone && (
        <>
          <div role="gridcell" className={classes.dimmed}>
            {modified}
          </div>
          <div role="gridcell" className={classes.size}>
            {size || "–"}
          </div>
        </>
      )}
      <div role="gridcell" className={classes.moreCell}>
        <MoreButton file={file} />
      </div>
    </div>
  );
});
