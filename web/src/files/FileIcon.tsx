import type { RemoteFile } from "dropbox-api-client";
import {
  File,
  FileArchive,
  FileAudio,
  FileCode,
  FileImage,
  FileSpreadsheet,
  FileText,
  FileVideo,
  Folder,
  FolderSymlink,
  type LucideIcon,
} from "lucide-react";
import { useState } from "react";
import { findLanguage } from "../preview/viewers.ts";
import classes from "./FileIcon.module.css";

type Kind = "folder" | "shared" | "image" | "video" | "audio" | "pdf" | "text" | "code" | "sheet" | "archive" | "other";

const ICONS: Record<Kind, LucideIcon> = {
  folder: Folder,
  shared: FolderSymlink,
  image: FileImage,
  video: FileVideo,
  audio: FileAudio,
  pdf: FileText,
  text: FileText,
  code: FileCode,
  sheet: FileSpreadsheet,
  archive: FileArchive,
  other: File,
};

const PATTERNS: readonly [Kind, RegExp][] = [
  ["image", /^image\//],
  ["video", /^video\//],
  ["audio", /^audio\//],
  ["pdf", /^application\/pdf/],
  ["sheet", /spreadsheet|ms-excel|csv/],
  ["archive", /zip|x-tar|gzip|x-7z|rar|zstd|x-xz|x-bzip/],
  ["text", /msword|wordprocessing|opendocument\.text|rtf|epub|presentation/],
  ["code", /^text\/x-|javascript|json|xml|html|css|x-sh|toml|yaml|sql/],
  ["text", /^text\//],
];

interface FileIconProps {
  file: Pick<RemoteFile, "kind" | "name" | "content_type" | "shared" | "thumbnails">;
  size?: number;
  /** Show the thumbnail where the server has made one. */
  withThumbnail?: boolean;
}

/** The thumbnail of a file, or an icon of its type. Decorative: the name stands beside it. */
export function FileIcon({ file, size = 24, withThumbnail = true }: FileIconProps) {
  const url = withThumbnail ? file.thumbnails?.small_url : undefined;
  const [broken, setBroken] = useState<string | null>(null);
  if (url !== undefined && url !== broken) {
    return (
      <img
        className={classes.thumbnail}
        src={url}
        width={size}
        height={size}
        alt=""
        loading="lazy"
        decoding="async"
        draggable={false}
        onError={() => setBroken(url)}
      />
    );
  }
  const kind = kindOf(file);
  const Icon = ICONS[kind];
  return <Icon className={classes[kind]} size={size} strokeWidth={1.5} aria-hidden />;
}

function kindOf({ kind, name, content_type, shared }: FileIconProps["file"]): Kind {
  if (kind === "folder") return shared ? "shared" : "folder";
  const found = PATTERNS.find(([, pattern]) => pattern.test(content_type ?? ""))?.[0] ?? "other";
  // The types of most source files are those of any text.
  return (found === "text" || found === "other") && findLanguage(name) !== null ? "code" : found;
}
