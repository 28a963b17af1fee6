// A file as it looks, over the page that lists it.

import { ActionIcon, Anchor, Modal, Skeleton, Text } from "@mantine/core";
import { useWindowEvent } from "@mantine/hooks";
import type { RemoteFile } from "dropbox-api-client";
import { ChevronLeft, ChevronRight, Download, File, History, Share2, X } from "lucide-react";
import { lazy, Suspense } from "react";
import { Link, useLocation, useNavigate } from "react-router";
import { downloadFiles } from "../files/changes.tsx";
import { findConflict } from "../files/conflictNames.ts";
import { FileIcon } from "../files/FileIcon.tsx";
import { hasDialog } from "../files/fileActions.tsx";
import { useFile } from "../lib/file.ts";
import { formatBytes } from "../lib/format.ts";
import { t } from "../lib/i18n.ts";
import type { DialogProps } from "../room.ts";
import { useOpenDialog } from "../shell/dialogs.tsx";
import { EmptyState } from "../ui/EmptyState.tsx";
import { ErrorState } from "../ui/ErrorState.tsx";
import { useTitle } from "../ui/Page.tsx";
import { ImageViewer } from "./ImageViewer.tsx";
import { MediaViewer } from "./MediaViewer.tsx";
import { NoPreview } from "./NoPreview.tsx";
import classes from "./preview.module.css";
import { useSiblings } from "./siblings.ts";
import { chooseViewer } from "./viewers.ts";

const PdfViewer = lazy(() => import("./PdfViewer.tsx"));
const MarkdownViewer = lazy(() => import("./MarkdownViewer.tsx"));
const CodeViewer = lazy(() => import("./CodeViewer.tsx"));
const TextViewer = lazy(() => import("./TextViewer.tsx"));

export default function PreviewDialog({ value, onClose }: DialogProps) {
  const { data: file, error, refetch } = useFile(value);
  const { previous, next } = useSiblings(file);
  const { pathname, search, state } = useLocation();
  const navigate = useNavigate();
  const show = (sibling: RemoteFile | null) => {
    if (!sibling) return;
    const query = new URLSearchParams(search);
    query.set("preview", sibling.id);
    // In the place of this one, so that Back closes.
    void navigate(`${pathname}?${query}`, { replace: true, state, preventScrollReset: true });
  };
  useWindowEvent("keydown", (event) => {
    const isMedia = event.target instanceof HTMLMediaElement; // its keys jump in the film
    if (isMedia || event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) return;
    const isRtl = document.dir === "rtl";
    if (event.key === "ArrowRight") show(isRtl ? previous : next);
    if (event.key === "ArrowLeft") show(isRtl ? next : previous);
  });
  return (
    <Modal.Root opened onClose={onClose} fullScreen transitionProps={{ duration: 0 }}>
      <Modal.Content className={classes.dialog} aria-label={t("preview.title", { name: file?.name ?? "" })}>
        {file && <PreviewHeader file={file} onClose={onClose} />}
        <div className={classes.middle}>
          {previous && <StepButton side="previous" onClick={() => show(previous)} />}
          <div className={classes.stage} data-autofocus tabIndex={-1}>
            {file ? (
              <Suspense fallback={<Skeleton className={classes.waiting} />}>
                <Viewer key={`${file.id} ${file.revision_id}`} file={file} />
              </Suspense>
            ) : error ? (
              <ErrorState error={error} onRetry={refetch} />
            ) : (
              <Skeleton className={classes.waiting} />
            )}
          </div>
          {next && <StepButton side="next" onClick={() => show(next)} />}
        </div>
      </Modal.Content>
    </Modal.Root>
  );
}

function StepButton({ side, onClick }: { side: "previous" | "next"; onClick: () => void }) {
  const Icon = side === "next" ? ChevronRight : ChevronLeft;
  return (
    <ActionIcon
      className={classes[side]}
      variant="filled"
      color="dark.6"
      size={44}
      radius="xl"
      aria-label={t(`preview.${side}`)}
      onClick={onClick}
    >
      <Icon size={24} aria-hidden />
    </ActionIcon>
  );
}

function PreviewHeader({ file, onClose }: { file: RemoteFile; onClose: () => void }) {
  const openDialog = useOpenDialog();
  useTitle(file.name);
  return (
    <header className={classes.head}>
      <FileIcon file={file} size={28} withThumbnail={false} />
      <div className={classes.name}>
        <Text component="h2" size="sm" fw={600} truncate title={file.name}>
          {file.name}
        </Text>
        <Text size="xs" c="dimmed">
          {formatBytes(file.size_bytes ?? 0)}
          {findConflict(file) && (
            <>
              {" · "}
              <ConflictLink file={file} />
            </>
          )}
        </Text>
      </div>
      <ActionIcon aria-label={t("preview.download")} onClick={() => void downloadFiles([file])}>
        <Download size={20} aria-hidden />
      </ActionIcon>
      {hasDialog("versions") && (
        <ActionIcon aria-label={t("files.versions")} onClick={() => openDialog("versions", file.id)}>
          <History size={20} aria-hidden />
        </ActionIcon>
      )}
      {file.role === "owner" && hasDialog("share") && (
        <ActionIcon aria-label={t("files.share")} onClick={() => openDialog("share", file.id)}>
          <Share2 size={20} aria-hidden />
        </ActionIcon>
      )}
      <ActionIcon aria-label={t("preview.close")} onClick={onClose}>
        <X size={20} aria-hidden />
      </ActionIcon>
    </header>
  );
}

/** To the details, in the place of the preview: Back leads to the list, also after the copy is deleted. */
function ConflictLink({ file }: { file: RemoteFile }) {
  const { pathname, search, state } = useLocation();
  const query = new URLSearchParams(search);
  query.delete("preview");
  query.set("details", file.id);
  return (
    <Anchor component={Link} to={`${pathname}?${query}`} replace state={state} inherit underline="always">
      {t("conflictCopy.badge")}
    </Anchor>
  );
}

function Viewer({ file }: { file: RemoteFile }) {
  const viewer = chooseViewer(file);
  switch (viewer) {
    case "image":
    case "thumbnail":
      return <ImageViewer file={file} isThumbnail={viewer === "thumbnail"} />;
    case "video":
    case "audio":
      return <MediaViewer file={file} kind={viewer} />;
    case "pdf":
      return <PdfViewer file={file} />;
    case "markdown":
      return <MarkdownViewer file={file} />;
    case "code":
      return <CodeViewer file={file} />;
    case "text":
      return <TextViewer file={file} />;
    case "empty":
      return <EmptyState icon={File} title={t("preview.empty")} text={t("preview.emptyText")} />;
    case "none":
      return <NoPreview file={file} />;
  }
}
