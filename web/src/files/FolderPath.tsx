// The way to a folder. Each folder on it takes drops.

import type { RemoteFile } from "dropbox-api-client";
import { ChevronRight } from "lucide-react";
import { type DragEvent, useState } from "react";
import { Link } from "react-router";
import { t } from "../lib/i18n.ts";
import { checkDrop, takeDrop } from "./drag.ts";
import classes from "./files.module.css";
import { useAncestors } from "./folders.ts";

export function FolderPath({ folder }: { folder: RemoteFile }) {
  const ancestors = useAncestors(folder);
  return (
    <nav className={classes.path} aria-label={t("files.path")}>
      <ol>
        {folder.role !== "owner" && (
          <li>
            <Link to="/shared" className={classes.crumb}>
              {t("files.sharedWithMe")}
            </Link>
            <ChevronRight size={16} aria-hidden />
          </li>
        )}
        {ancestors.map((above) => (
          <li key={above.id}>
            <Crumb folder={above} />
            <ChevronRight size={16} aria-hidden />
          </li>
        ))}
        <li>
          <h1 aria-current="page">{folder.name || t("files.root")}</h1>
        </li>
      </ol>
    </nav>
  );
}

function Crumb({ folder }: { folder: RemoteFile }) {
  const [isOver, setOver] = useState(false);
  const onDragOver = (event: DragEvent) => {
    const check = checkDrop(event.dataTransfer, folder);
    setOver(check?.isAllowed === true);
    if (!check?.isAllowed) return;
    event.preventDefault();
    event.stopPropagation();
  };
  const onDrop = (event: DragEvent) => {
    setOver(false);
    if (!checkDrop(event.dataTransfer, folder)?.isAllowed) return;
    event.preventDefault();
    event.stopPropagation();
    takeDrop(event.dataTransfer, folder);
  };
  return (
    <Link
      to={folder.parent_id === null && folder.name === "" ? "/files" : `/files/${folder.id}`}
      className={classes.crumb}
      data-drop={isOver || undefined}
      draggable={false}
      onDragOver={onDragOver}
      onDragLeave={() => setOver(false)}
      onDrop={onDrop}
    >
      {folder.name || t("files.root")}
    </Link>
  );
}
