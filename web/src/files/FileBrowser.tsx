// A list of files with everything that a person does with it: mouse, keyboard, touch, menus, drag and drop, clipboard.

import { VisuallyHidden } from "@mantine/core";
import { useMediaQuery } from "@mantine/hooks";
import type { RemoteFile } from "dropbox-api-client";
import { type ReactNode, useMemo, useRef, useState } from "react";
import { useNavigate } from "react-router";
import { t } from "../lib/i18n.ts";
import { useOpenDialog } from "../shell/dialogs.tsx";
import { ErrorState } from "../ui/ErrorState.tsx";
import { useClipboard } from "./clipboard.ts";
import { FileLines, type LinesHandle } from "./FileLines.tsx";
import { FileMenu } from "./FileMenu.tsx";
import { type CommandContext, listCommands } from "./fileActions.tsx";
import classes from "./files.module.css";
import { ListHeader } from "./ListHeader.tsx";
import { type Source, useListing } from "./listing.ts";
import { MoveDialog } from "./MoveDialog.tsx";
import { NewFolderDialog } from "./NewFolderDialog.tsx";
import { useOrder, useView } from "./preferences.ts";
import { SelectionBar } from "./SelectionBar.tsx";
import { countSelected, isSelected, keepListed, NOTHING, type Selection, selectOnly } from "./selection.ts";
import { Toolbar } from "./Toolbar.tsx";
import { useClipboardEvents } from "./useClipboardEvents.ts";
import { useDrops } from "./useDrops.ts";
import { useListEvents } from "./useListEvents.ts";

interface FileBrowserProps {
  source: Source;
  /** The folder that is shown; null for lists of several folders. */
  folder: RemoteFile | null;
  title: ReactNode;
  label: string;
  empty: ReactNode;
}

export interface MenuPlace {
  x: number;
  y: number;
}

export function FileBrowser({ source, folder, title, label, empty }: FileBrowserProps) {
  const [view, setView] = useView();
  const [order, setOrder] = useOrder();
  const isPhone = useMediaQuery("(max-width: 48em)", false, { getInitialValueInEffect: false });
  const listing = useListing(source, order);
  const { files } = listing;
  const [stored, setSelection] = useState<Selection>(NOTHING);
  const ids = useMemo(() => files.map(({ id }) => id), [files]);
  const selection = useMemo(() => keepListed(stored, ids), [stored, ids]);
  const [menu, setMenu] = useState<MenuPlace | null>(null);
  const [renaming, setRenaming] = useState<string | null>(null);
  const [moving, setMoving] = useState<readonly RemoteFile[] | null>(null);
  const [isNaming, setNaming] = useState(false);
  const lines = useRef<LinesHandle>(null);
  const openDialog = useOpenDialog();
  const navigate = useNavigate();
  const clipboard = useClipboard();
  const cutIds = useMemo(
    () => new Set(clipboard?.mode === "cut" ? clipboard.files.map(({ id }) => id) : []),
    [clipboard],
  );

  const selected = useMemo(() => files.filter(({ id }) => isSelected(selection, id)), [files, selection]);
  const count = countSelected(selection, files.length);
  const selectedText = selection.isAll && !listing.isComplete ? t("files.allSelected") : t("files.selected", { count });
  const open = (file: RemoteFile) => {
    if (file.kind === "folder") void navigate(`/files/${file.id}`);
    else openDialog("preview", file.id);
  };
  const context: CommandContext = {
    files: selected,
    readFiles: async () => {
      if (!selection.isAll || listing.isComplete) return selected;
      return (await listing.readAll()).filter(({ id }) => isSelected(selection, id));
    },
    folder,
    open,
    openDialog: (name, file) => openDialog(name, file.id),
    rename: (file) => setRenaming(file.id),
    move: setMoving,
  };
  const commands = listCommands(context);
  const run = (id: string) => commands.find((command) => command.id === id)?.run();

  const focusEntry = (id: string | null) => {
    const index = id === null ? -1 : ids.indexOf(id);
    if (index >= 0) lines.current?.focus(index);
  };
  const events = useListEvents({
    ids,
    files,
    readRest: listing.isComplete ? null : listing.readAll,
    selection,
    setSelection,
    lines,
    open,
    run,
    setMenu,
    isBusy: renaming !== null,
  });
  const drops = useDrops({ folder, files, selection, selected, setSelection });
  useClipboardEvents({ run, folder, hasSelection: selected.length > 0 });

  const isEmpty = !listing.isLoading && listing.isComplete && files.length === 0;
  return (
    <section
      className={classes.browser}
      aria-label={label}
      {...drops.handlers}
      data-drop={drops.isOverList || undefined}
    >
      <div className={classes.head}>
        {title}
        {count > 0 ? (
          <SelectionBar
            text={selectedText}
            commands={commands}
            isPhone={isPhone}
            onMore={setMenu}
            onClear={() => setSelection(NOTHING)}
          />
        ) : (
          <Toolbar
            folder={folder}
            view={view}
            setView={setView}
            order={order}
            setOrder={source.kind === "folder" ? setOrder : null}
            onNewFolder={() => setNaming(true)}
          />
        )}
      </div>
      {listing.error && files.length === 0 ? (
        <ErrorState error={listing.error} onRetry={listing.retry} />
      ) : isEmpty ? (
        empty
      ) : (
        <div className={classes.list} {...events}>
          <FileLines
            files={files}
            total={listing.total}
            isComplete={listing.isComplete}
            view={view}
            isPhone={isPhone}
            selection={selection}
            cutIds={cutIds}
            dropId={drops.folderId}
            renaming={renaming}
            onRenamed={() => {
              const id = renaming;
              setRenaming(null);
              requestAnimationFrame(() => focusEntry(id));
            }}
            showsFolder={source.kind !== "folder"}
            label={label}
            header={
              <ListHeader order={source.kind === "folder" ? order : null} setOrder={setOrder} isPhone={isPhone} />
            }
            handle={lines}
            readOn={listing.readOn}
          />
          {listing.error && <ErrorState error={listing.error} onRetry={listing.retry} />}
        </div>
      )}
      <output className={classes.hint} data-refused={drops.hint?.isAllowed === false || undefined}>
        {drops.hint?.text}
      </output>
      <FileMenu
        place={menu}
        commands={commands}
        onClose={() => {
          setMenu(null);
          requestAnimationFrame(() => {
            // Not when a command has moved the focus, as to a name that is edited.
            if (document.activeElement === document.body) focusEntry(selection.active);
          });
        }}
      />
      {moving && <MoveDialog files={moving} onClose={() => setMoving(null)} />}
      {isNaming && folder && (
        <NewFolderDialog
          folder={folder}
          onClose={() => setNaming(false)}
          onCreated={(created) => setSelection(selectOnly(created.id))}
        />
      )}
      <VisuallyHidden role="status">{count > 0 ? selectedText : ""}</VisuallyHidden>
    </section>
  );
}
