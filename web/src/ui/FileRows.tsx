// A list of files outside the file browser: icon, name, a line about it, and what can be done.

import { Text } from "@mantine/core";
import type { RemoteFile } from "dropbox-api-client";
import type { ReactNode } from "react";
import { Link } from "react-router";
import { FileIcon } from "../files/FileIcon.tsx";
import classes from "./FileRows.module.css";

export function FileRows({ label, children }: { label: string; children: ReactNode }) {
  return (
    <ul className={classes.list} aria-label={label}>
      {children}
    </ul>
  );
}

interface RowProps {
  file: RemoteFile;
  /** Where the name leads; without it, the name is text. */
  to?: { pathname?: string; search?: string } | undefined;
  about: ReactNode;
  before?: ReactNode;
  children?: ReactNode;
}

export function FileRowItem({ file, to, about, before, children }: RowProps) {
  return (
    <Row icon={<FileIcon file={file} size={28} />} title={file.name} to={to} about={about} before={before}>
      {children}
    </Row>
  );
}

export function Row({
  icon,
  title,
  to,
  about,
  before,
  children,
}: Omit<RowProps, "file"> & { icon: ReactNode; title: string }) {
  return (
    <li className={classes.row}>
      {before}
      {icon}
      <div className={classes.main}>
        {to ? (
          <Text component={Link} to={to} state={{ openedHere: true }} size="sm" fw={500} className={classes.name}>
            {title}
          </Text>
        ) : (
          <Text size="sm" fw={500} className={classes.name}>
            {title}
          </Text>
        )}
        {about ? (
          <Text size="xs" c="dimmed" component="div" lineClamp={3}>
            {about}
          </Text>
        ) : null}
      </div>
      {children}
    </li>
  );
}

/** Where a file opens: a folder as a page, a file as a preview above the page. */
export function placeOf({ id, kind }: Pick<RemoteFile, "id" | "kind">): { pathname?: string; search?: string } {
  return kind === "folder" ? { pathname: `/files/${id}` } : { search: `?preview=${id}` };
}
