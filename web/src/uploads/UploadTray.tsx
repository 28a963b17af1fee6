// The tray of uploads at the foot of the page. It takes its height from the page, so that it covers nothing.

import { ActionIcon, Button, Progress, Text, VisuallyHidden } from "@mantine/core";
import { useElementSize, useNetwork } from "@mantine/hooks";
import type { UploadSnapshot } from "dropbox-api-client/upload";
import { ChevronDown, ChevronUp, X } from "lucide-react";
import { useEffect, useId, useState } from "react";
import { ConflictDialog } from "../files/ConflictDialog.tsx";
import { formatBytes, formatDuration } from "../lib/format.ts";
import { t } from "../lib/i18n.ts";
import { type Counts, countItems, findMilestone, percentOf } from "./progress.ts";
import { UploadList } from "./UploadList.tsx";
import { getUploader, useUploads } from "./uploader.ts";
import classes from "./uploads.module.css";

export function UploadTray() {
  const snapshot = useUploads();
  const counts = countItems(snapshot.items);
  return (
    <>
      <ConflictDialog />
      <Announcement snapshot={snapshot} counts={counts} />
      {counts.total > 0 && <Tray snapshot={snapshot} counts={counts} />}
    </>
  );
}

interface PartProps {
  snapshot: UploadSnapshot;
  counts: Counts;
}

function Tray({ snapshot, counts }: PartProps) {
  const [isOpen, setOpen] = useState(true);
  const { ref, height } = useElementSize({ box: "border-box" });
  const { online } = useNetwork();
  const listId = useId();
  useReservedHeight(height);
  const uploader = getUploader();
  const percent = percentOf(snapshot);
  const isOver = counts.running + counts.paused + counts.needed === 0;
  const title = describeTitle(snapshot, counts, online);
  const detail = describeDetail(snapshot, online);
  return (
    <section ref={ref} className={classes.tray} aria-label={t("uploads.title")}>
      <div className={classes.head}>
        <div className={classes.summary}>
          <Text size="sm" fw={600} truncate>
            {title}
          </Text>
          {detail && (
            <Text size="xs" c="dimmed" truncate>
              {detail}
            </Text>
          )}
        </div>
        <div className={classes.buttons}>
          {counts.running > 0 && (
            <Button size="compact-sm" variant="subtle" onClick={() => uploader.pauseAll()}>
              {t("uploads.pauseAll")}
            </Button>
          )}
          {counts.paused > 0 && (
            <Button size="compact-sm" variant="subtle" onClick={() => uploader.resumeAll()}>
              {t("uploads.resumeAll")}
            </Button>
          )}
          {counts.failed > 0 && (
            <Button size="compact-sm" variant="subtle" onClick={() => uploader.retryAll()}>
              {t("uploads.retryAll")}
            </Button>
          )}
          {!isOver && (
            <Button size="compact-sm" variant="subtle" onClick={() => uploader.cancelAll()}>
              {t("uploads.cancelAll")}
            </Button>
          )}
          <ActionIcon
            aria-label={isOpen ? t("uploads.collapse") : t("uploads.expand")}
            aria-expanded={isOpen}
            aria-controls={listId}
            onClick={() => setOpen(!isOpen)}
          >
            {isOpen ? <ChevronDown size={18} aria-hidden /> : <ChevronUp size={18} aria-hidden />}
          </ActionIcon>
          {isOver && (
            <ActionIcon aria-label={t("uploads.clear")} onClick={() => uploader.clear()}>
              <X size={18} aria-hidden />
            </ActionIcon>
          )}
        </div>
      </div>
      {!isOver && <Progress value={percent} size="xs" radius={0} aria-label={t("uploads.total", { percent })} />}
      <div id={listId} hidden={!isOpen}>
        {isOpen && <UploadList items={snapshot.items} />}
      </div>
    </section>
  );
}

/** Tell the page how much of its height the tray takes. */
function useReservedHeight(height: number): void {
  useEffect(() => {
    document.documentElement.style.setProperty("--uploads-height", `${height}px`);
  }, [height]);
  useEffect(() => () => void document.documentElement.style.removeProperty("--uploads-height"), []);
}

function describeTitle(snapshot: UploadSnapshot, counts: Counts, isOnline: boolean): string {
  const { total, done, failed, paused, needed } = counts;
  if (snapshot.isRunning) {
    if (!isOnline) return t("uploads.offline");
    return t("uploads.running", { done, total, percent: percentOf(snapshot) });
  }
  if (needed) return t("uploads.needed", { count: needed });
  if (paused) return t("uploads.paused", { count: paused });
  if (failed) return t("uploads.failed", { count: failed });
  return t("uploads.done", { count: done });
}

function describeDetail(snapshot: UploadSnapshot, isOnline: boolean): string {
  const { isRunning, rate, remainingS, sentBytes, sizeBytes } = snapshot;
  if (!isRunning) return "";
  if (!isOnline) return t("uploads.continues");
  const bytes = t("uploads.bytes", { sent: formatBytes(sentBytes), size: formatBytes(sizeBytes) });
  const parts = [
    bytes,
    rate !== null && t("uploads.rate", { rate: formatBytes(rate) }),
    remainingS !== null && t("uploads.remaining", { time: formatDuration(remainingS) }),
  ];
  return parts.filter((part) => part !== false).join(" · ");
}

/** Tells a screen reader the start, the quarters, the end and failures. */
function Announcement({ snapshot, counts }: PartProps) {
  const milestone = findMilestone(snapshot);
  const text = {
    none: "",
    start: t("uploads.said.start", { count: counts.total }),
    25: t("uploads.said.part", { percent: 25 }),
    50: t("uploads.said.part", { percent: 50 }),
    75: t("uploads.said.part", { percent: 75 }),
    end: t("uploads.done", { count: counts.done }),
    failed: t("uploads.failed", { count: counts.failed }),
  }[milestone];
  return <VisuallyHidden role="status">{text}</VisuallyHidden>;
}
