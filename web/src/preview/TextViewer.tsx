import { Skeleton } from "@mantine/core";
import type { RemoteFile } from "dropbox-api-client";
import type { ReactNode } from "react";
import { formatBytes } from "../lib/format.ts";
import { t } from "../lib/i18n.ts";
import { ErrorState } from "../ui/ErrorState.tsx";
import { TEXT_BYTES, type TextContent, useText } from "./content.ts";
import { NoPreview } from "./NoPreview.tsx";
import classes from "./preview.module.css";

export default function TextViewer({ file }: { file: RemoteFile }) {
  return <TextFrame file={file}>{({ text }) => <pre className={classes.plain}>{text}</pre>}</TextFrame>;
}

interface TextFrameProps {
  file: RemoteFile;
  children: (content: TextContent) => ReactNode;
}

/** Reads the text of a file and shows it in a part that scrolls. */
export function TextFrame({ file, children }: TextFrameProps) {
  const { data, error, refetch } = useText(file);
  if (error && !data) return <ErrorState error={error} onRetry={refetch} />;
  if (!data) return <Skeleton className={classes.text} />;
  if (data.text.includes("\0")) return <NoPreview file={file} />;
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a part that scrolls needs the focus for the keyboard.
    <section className={classes.text} tabIndex={0} aria-label={file.name} dir="auto">
      {data.isPart && <p className={classes.note}>{t("preview.part", { size: formatBytes(TEXT_BYTES) })}</p>}
      {children(data)}
    </section>
  );
}
