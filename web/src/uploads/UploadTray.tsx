// Uploads at the foot of the page: the tray, and what is said about them.

import { VisuallyHidden } from "@mantine/core";
import type { UploadSnapshot } from "dropbox-api-client/upload";
import { lazy, Suspense } from "react";
import { t } from "../lib/i18n.ts";
import { type Counts, countItems, findMilestone } from "./progress.ts";
import { useUploads } from "./uploader.ts";

/** Loads at once, beside the page: an upload may begin without a network. */
const loaded = import("./Tray.tsx");
loaded.catch(() => {}); // React has the error when it renders the tray
const Tray = lazy(async () => ({ default: (await loaded).Tray }));
const ConflictDialog = lazy(async () => ({ default: (await import("../files/ConflictDialog.tsx")).ConflictDialog }));

export function UploadTray() {
  const snapshot = useUploads();
  const counts = countItems(snapshot.items);
  return (
    <>
      <Announcement snapshot={snapshot} counts={counts} />
      <Suspense>
        <ConflictDialog />
        {counts.total > 0 && <Tray snapshot={snapshot} counts={counts} />}
      </Suspense>
    </>
  );
}

interface AnnouncementProps {
  snapshot: UploadSnapshot;
  counts: Counts;
}

/** Tells a screen reader the start, the quarters, the end and failures. */
function Announcement({ snapshot, counts }: AnnouncementProps) {
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
