// Which viewer shows a file. Pure.

import type { RemoteFile } from "dropbox-api-client";

export type Viewer =
  | "image"
  | "thumbnail"
  | "video"
  | "audio"
  | "pdf"
  | "markdown"
  | "code"
  | "text"
  | "empty"
  | "none";

type Shown = Pick<RemoteFile, "name" | "content_type" | "size_bytes" | "thumbnails" | "content_status">;

/** Types that every browser draws. */
const IMAGES = /^image\/(avif|gif|jpeg|jpg|png|webp)$/;
/** Larger images are shown as the server's thumbnail of 1600 pixels. */
const IMAGE_BYTES = 50e6;
/** Text, also under other names; markup is shown as its source. */
const TEXT =
  /^text\/|^application\/(.+\+(json|xml)|(x-)?javascript|json|xml|sql|toml|x-ndjson|x-sh|x-tex|x-yaml|yaml)$/;

export function chooseViewer(file: Shown): Viewer {
  const type = (file.content_type ?? "").split(";", 1)[0]?.trim().toLowerCase() ?? "";
  if (file.content_status === "quarantined" || file.content_status === "damaged") return "none";
  if (file.size_bytes === 0) return "empty";
  if (IMAGES.test(type) && (file.size_bytes ?? 0) <= IMAGE_BYTES) return "image";
  if (type.startsWith("video/")) return "video";
  if (type.startsWith("audio/")) return "audio";
  if (type === "application/pdf") return "pdf";
  if (type === "text/markdown") return "markdown";
  if (TEXT.test(type) || type === "image/svg+xml") return findLanguage(file.name) === null ? "text" : "code";
  return file.thumbnails ? "thumbnail" : "none";
}

/** Names of shiki's grammars, by the extensions that they are for. */
const LANGUAGES: Record<string, string> = {
  bash: "bash",
  c: "c",
  cc: "cpp",
  cjs: "javascript",
  conf: "ini",
  cpp: "cpp",
  cs: "csharp",
  css: "css",
  diff: "diff",
  dockerfile: "docker",
  go: "go",
  h: "c",
  hpp: "cpp",
  htm: "html",
  html: "html",
  ini: "ini",
  java: "java",
  js: "javascript",
  json: "json",
  jsx: "jsx",
  kt: "kotlin",
  lua: "lua",
  makefile: "make",
  mjs: "javascript",
  patch: "diff",
  php: "php",
  pl: "perl",
  py: "python",
  r: "r",
  rb: "ruby",
  rs: "rust",
  sh: "bash",
  sql: "sql",
  svg: "xml",
  swift: "swift",
  toml: "toml",
  ts: "typescript",
  tsx: "tsx",
  xml: "xml",
  yaml: "yaml",
  yml: "yaml",
};

/** Return the language of a source file by its name, null for plain text. */
export function findLanguage(name: string): string | null {
  const extension = name.slice(name.lastIndexOf(".") + 1).toLowerCase();
  return Object.hasOwn(LANGUAGES, extension) ? (LANGUAGES[extension] ?? null) : null;
}
