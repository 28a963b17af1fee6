import type { RemoteFile } from "dropbox-api-client";
import { useRef, useState } from "react";
import { t } from "../lib/i18n.ts";
import { ErrorState } from "../ui/ErrorState.tsx";
import { useInlineUrl } from "./content.ts";
import { NoPreview } from "./NoPreview.tsx";
import classes from "./preview.module.css";

/** New URLs without anything that could be played between. */
const ATTEMPTS = 2;

/** Plays a film or a sound. When its URL expires, it goes on with a new one from where it was. */
export function MediaViewer({ file, kind }: { file: RemoteFile; kind: "video" | "audio" }) {
  const { url, error, renew } = useInlineUrl(file);
  const [isBroken, setBroken] = useState(false);
  const kept = useRef<{ position: number; isPlaying: boolean } | null>(null);
  const attempts = useRef(0);
  if (error && !url) return <ErrorState error={error} onRetry={renew} />;
  if (isBroken) return <NoPreview file={file} text={t("preview.notPlayable")} />;
  if (url === null) return null;

  const Media = kind;
  return (
    <Media
      className={classes[kind]}
      src={url}
      controls
      playsInline
      preload="metadata"
      aria-label={file.name}
      onError={({ currentTarget }) => {
        if (attempts.current >= ATTEMPTS) return setBroken(true);
        attempts.current += 1;
        kept.current ??= { position: currentTarget.currentTime, isPlaying: !currentTarget.paused };
        void renew().then(({ data }) => {
          // Within a second the new URL equals the old one, which an element does not load again by itself.
          if (data?.url === url) currentTarget.load();
        });
      }}
      onLoadedMetadata={({ currentTarget }) => {
        if (!kept.current) return;
        currentTarget.currentTime = kept.current.position;
        if (kept.current.isPlaying) currentTarget.play().catch(() => undefined);
        kept.current = null;
      }}
      onCanPlay={() => {
        attempts.current = 0;
      }}
    />
  );
}
