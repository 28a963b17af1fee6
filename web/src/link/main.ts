// The script of a link's page: it adds to what the server's HTML does without it.

import { readLink } from "./page.ts";

const link = readLink();
if (link.mode === "upload") {
  const { showUploads } = await import("./uploads.ts");
  showUploads(link);
} else {
  const { showPreviews } = await import("./previews.ts");
  showPreviews(link);
}
