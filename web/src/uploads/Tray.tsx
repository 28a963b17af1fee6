// The tray, as soon as there are uploads.

import { ActionIcon, Button, Progress, Text } from "@mantine/core";
import { useElementSize, useNetwork } from "@mantine/hooks";
import type { UploadSnapshot } from "dropbox-api-client/upload";
import { ChevronDown, ChevronUp, X } from "lucide-react";
import { useDeferredValue, useEffect, useId, useState } from "react";
import { useSession } from "../lib/client.ts";
import { formatBytes, formatDuration } from "../lib/format.ts";
import { t } from "../lib/i18n.ts";
import { type Counts, percentOf } from "./progress.ts";
import { UploadList } from "./UploadList.tsx";
import { getUploader } from "./uploader.ts";
import classes from "./uploads.module.css";

const NONE: UploadSnapshot["items"] = [];

interface TrayProps {
  snapshot: UploadSnapshot;
  counts: Counts;
}

export function Tray({ snapshot, counts }: TrayProps) {
  const [choice, setChoice] = useState<boolean | null>(null);
  const { ref, height } = useElementSize({ box: "border-box" });
  const { online } = useNetwork();
  const isSignedOut = useSession().status === "signed-out";
  const listId = useId();
  const items = useDeferredValue(snapshot.items, NONE); // what takes long may wait
  useReservedHeight(height);
  const uploader = getUploader();
  const percent = percentOf(snapshot);
  const isOver = counts.running + counts.paused + counts.needed === 0;
  // When all is well, the list closes by itself.
  const isOpen = choice ?? !(isOver && counts.failed + counts.skipped === 0);
  const needsSession = isSignedOut && counts.running + counts.failed > 0;
  const title = needsSession ? t("uploads.signedOut") : describeTitle(snapshot, counts, online);
  const detail = needsSession ? "" : describeDetail(snapshot, online);
  return (
    <section ref={ref} className={classes.tray} aria-label={t("uploads.title")}>
      <div className={classes.head}>
        <div className={classes.summary}>
          <Text size="sm" fw={600} truncate>
            {title}
          </Text>
          {detail && (
            <Text size="xs" c="dimmed" truncate title={detail}>
              {detail}
            </Text>
          )}
        </div>
        <div className={classes.buttons}>
          <ActionIcon
            aria-label={isOpen ? t("uploads.collapse") : t("uploads.expand")}
            aria-expanded={isOpen}
            aria-controls={listId}
            onClick={() => setChoice(!isOpen)}
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
        {isOpen && (
          <>
            <CommandsForAll counts={counts} isOver={isOver} />
            <UploadList items={items} />
          </>
        )}
      </div>
    </section>
  );
}

function CommandsForAll({ counts, isOver }: { counts: Counts; isOver: boolean }) {
  const uploader = getUploader();
  const commands = [
    counts.running > 0 && { label: t("uploads.pauseAll"), run: () => uploader.pauseAll() },
    counts.paused > 0 && { label: t("uploads.resumeAll"), run: () => uploader.resumeAll() },
    counts.failed > 0 && { label: t("uploads.retryAll"), run: () => uploader.retryAll() },
    !isOver && { label: t("uploads.cancelAll"), run: () => uploader.cancelAll() },
  ].filter((command) => command !== false);
  if (commands.length === 0) return null;
  return (
    <div className={classes.commands}>
      {commands.map(({ label, run }) => (
        <Button key={label} size="compact-sm" variant="subtle" onClick={run}>
          {label}
        </Button>
      ))}
    </div>
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
