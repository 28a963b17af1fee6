// Print the compressed sizes of what the app and the page of an upload link load first, from the built files, and fail above
// the limits.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

const LIMIT_KB = 260;
const LINK_LIMIT_KB = 60;
const BUILT = join(import.meta.dirname, "../../src/dropbox_api/_web");

const readManifest = (name) => JSON.parse(readFileSync(join(BUILT, ".vite", name), "utf8"));
const manifest = readManifest("manifest.json");
const linkManifest = readManifest("fixed.json");

/** Collect the files of an entry and of all that it imports at once. What it imports later does not count. */
function collect(manifest, name, files = new Set()) {
  const { file, css = [], imports = [] } = manifest[name];
  if (files.has(file)) return files;
  for (const path of [file, ...css]) files.add(path);
  for (const imported of imports) collect(manifest, imported, files);
  return files;
}

const size = (files) =>
  [...files].reduce((sum, file) => sum + gzipSync(readFileSync(join(BUILT, file))).length, 0) / 1000;

const first = collect(manifest, "index.html");
const start = size(first);
console.log(`web app: ${start.toFixed(0)} kB compressed at the first visit, at most ${LIMIT_KB} kB`);
if (start > LIMIT_KB) process.exitCode = 1;

const link = collect(linkManifest, "src/link/uploads.ts", collect(linkManifest, "src/link/main.ts"));
const worker = "assets/workers/main.js";
const upload = size(new Set([...link, worker]));
console.log(`page of an upload link: ${upload.toFixed(0)} kB compressed, at most ${LINK_LIMIT_KB} kB`);
if (upload > LINK_LIMIT_KB) process.exitCode = 1;

const total = size(new Set(Object.keys(manifest).flatMap((name) => [...collect(manifest, name)])));
console.log(`web app: ${total.toFixed(0)} kB compressed in all`);
