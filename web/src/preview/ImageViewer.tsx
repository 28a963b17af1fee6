import type { RemoteFile } from "dropbox-api-client";
import { useState } from "react";
import { t } from "../lib/i18n.ts";
import { ErrorState } from "../ui/ErrorState.tsx";
import { useInlineUrl } from "./content.ts";
import { NoPreview } from "./NoPreview.tsx";
import classes from "./preview.module.css";

const ATTEMPTS = 2;

export function ImageViewer({ file, isThumbnail }: { file: RemoteFile; isThumbnail: boolean }) {
  const thumbnail = file.thumbnails?.large_url ?? null;
  return isThumbnail ? (
    <Picture file={file} url={thumbnail} renew={null} />
  ) : (
    <Original file={file} placeholder={thumbnail} />
  );
}

function Original({ file, placeholder }: { file: RemoteFile; placeholder: string | null }) {
  const { url, error, renew } = useInlineUrl(file);
  if (error && !url) return <ErrorState error={error} onRetry={renew} />;
  return <Picture file={file} url={url ?? placeholder} renew={renew} />;
}

interface PictureProps {
  file: RemoteFile;
  url: string | null;
  renew: (() => unknown) | null;
}

function Picture({ file, url, renew }: PictureProps) {
  const [failures, setFailures] = useState(0);
  if (failures >= ATTEMPTS || (failures > 0 && !renew))
    return <NoPreview file={file} text={t("preview.imageBroken")} />;
  if (url === null) return null;
  const onError = async () => {
    await renew?.();
    setFailures(failures + 1);
  };
  // A new element: within a second the new URL equals the old one, which an element does not load again.
  return <img key={failures} className={classes.image} src={url} alt={file.name} onError={onError} />;
}
