import { ActionIcon, Button, Progress } from "@mantine/core";
import { useVirtualizer } from "@tanstack/react-virtual";
import type { UploadItem } from "dropbox-api-client/upload";
import { CircleAlert, CircleCheck, File, Folder, Pause, Play, RotateCw, X } from "lucide-react";
import { memo, useMemo, useRef } from "react";
import { formatBytes } from "../lib/format.ts";
import { hasMessage, t } from "../lib/i18n.ts";
import { notifyError } from "../lib/notify.tsx";
import { percentOfItem, sortItems } from "./progress.ts";
import { getUploader } from "./uploader.ts";
import classes from "./uploads.module.css";

const ROW = 56;

/** All uploads; only those on the screen exist as elements. */
export const UploadList = memo(function UploadList({ items }: { items: readonly UploadItem[] }) {
  const scroller = useRef<HTMLDivElement>(null);
  const sorted = useMemo(() => sortItems(items), [items]);
  const virtualizer = useVirtualizer({
    count: sorted.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW,
    overscan: 4,
  });
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a part that scrolls needs the focus for the keyboard.
    <section ref={scroller} className={classes.scroller} tabIndex={0} aria-label={t("uploads.list")}>
      <ul className={classes.list} style={{ height: virtualizer.getTotalSize() }}>
        {virtualizer.getVirtualItems().map(({ index, start }) => {
          const item = sorted[index];
          return (
            item && (
              <li
                key={item.id}
                className={classes.item}
                style={{ transform: `translateY(${start}px)`, height: ROW }}
                aria-setsize={sorted.length}
                aria-posinset={index + 1}
              >
                <Item item={item} />
              </li>
            )
          );
        })}
      </ul>
    </section>
  );
});

const ICONS = { done: CircleCheck, failed: CircleAlert } as const;

/** Drawn again only when the upload changes: many change many times. */
const Item = memo(function Item({ item }: { item: UploadItem }) {
  const { status, name, folders, kind } = item;
  const percent = percentOfItem(item);
  const Icon = status === "done" || status === "failed" ? ICONS[status] : kind === "folder" ? Folder : File;
  const isMoving = status === "sending" || status === "checking" || status === "completing";
  const path = [...folders, name].join("/");
  const state = describe(item);
  return (
    <>
      <Icon size={20} strokeWidth={1.5} className={classes.icon} data-status={status} aria-hidden />
      <div className={classes.text}>
        <span className={`${classes.name} own-direction`} title={path}>
          {path}
        </span>
        <span className={classes.state} data-status={status} title={state}>
          {state}
        </span>
        {isMoving && <Progress value={percent} size={3} aria-label={t("uploads.progressOf", { name, percent })} />}
      </div>
      <Actions item={item} />
    </>
  );
});

const PAUSABLE = new Set<UploadItem["status"]>(["queued", "checking", "sending", "waiting", "completing"]);

function Actions({ item }: { item: UploadItem }) {
  const uploader = getUploader();
  const { id, name, status } = item;
  return (
    <div className={classes.buttons}>
      {PAUSABLE.has(status) && (
        <ActionIcon aria-label={t("uploads.pause", { name })} onClick={() => uploader.pause(id)}>
          <Pause size={16} aria-hidden />
        </ActionIcon>
      )}
      {status === "paused" && (
        <ActionIcon aria-label={t("uploads.resume", { name })} onClick={() => uploader.resume(id)}>
          <Play size={16} aria-hidden />
        </ActionIcon>
      )}
      {status === "needs-file" && <PickAgain item={item} />}
      {(status === "failed" || status === "skipped") && (
        <ActionIcon aria-label={t("uploads.retry", { name })} onClick={() => uploader.retry(id)}>
          <RotateCw size={16} aria-hidden />
        </ActionIcon>
      )}
      {status !== "done" && (
        <ActionIcon aria-label={t("uploads.cancel", { name })} onClick={() => uploader.cancel(id)}>
          <X size={16} aria-hidden />
        </ActionIcon>
      )}
    </div>
  );
}

/** An upload of an earlier visit: the browser has forgotten the file. */
function PickAgain({ item }: { item: UploadItem }) {
  const input = useRef<HTMLInputElement>(null);
  const take = async (file: File | undefined) => {
    if (!file) return;
    if (file.name !== item.name || file.size !== item.sizeBytes) {
      notifyError(
        new Error("another file"),
        t("uploads.otherFile", { name: item.name, size: formatBytes(item.sizeBytes) }),
      );
      return;
    }
    const tree = { files: [{ file, handle: null, folders: item.folders }], emptyFolders: [] };
    await getUploader().add(tree, { parentId: item.parentId });
  };
  return (
    <>
      <Button
        size="compact-sm"
        variant="default"
        aria-label={t("uploads.pickAgain", { name: item.name })}
        onClick={() => input.current?.click()}
      >
        {t("uploads.pick")}
      </Button>
      <input
        ref={input}
        type="file"
        hidden
        aria-label={t("uploads.pickAgain", { name: item.name })}
        onChange={(event) => void take(event.currentTarget.files?.[0])}
      />
    </>
  );
}

function describe(item: UploadItem): string {
  const { status, sizeBytes, sentBytes, failure } = item;
  const size = formatBytes(sizeBytes);
  switch (status) {
    case "checking":
      return t("uploads.status.checking", { percent: percentOfItem(item) });
    case "sending":
      return t("uploads.status.sending", { sent: formatBytes(sentBytes), size });
    case "waiting":
      return item.reason === "offline" ? t("uploads.status.offline") : t("uploads.status.retrying");
    case "failed": {
      const key = `uploads.failure.${failure?.code}`;
      return hasMessage(key) ? t(key) : (failure?.detail ?? "");
    }
    case "done":
      return item.kind === "folder" ? t("uploads.status.folder") : t("uploads.status.done", { size });
    default:
      return t(`uploads.status.${status}`);
  }
}
