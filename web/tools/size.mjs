// Print the compressed size of what the app loads first, from the built files, and fail above the limit.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

const LIMIT_KB = 300;
const BUILT = join(import.meta.dirname, "../../src/dropbox_api/_web");

const manifest = JSON.parse(readFileSync(join(BUILT, ".vite/manifest.json"), "utf8"));

/** Collect the files of an entry and of all that it imports at once. What it imports later does not count. */
function collect(name, files = new Set()) {
  const { file, css = [], imports = [] } = manifest[name];
  if (files.has(file)) return files;
  for (const path of [file, ...css]) files.add(path);
  for (const imported of imports) collect(imported, files);
  return files;
}

const size = (files) =>
  [...files].reduce((sum, file) => sum + gzipSync(readFileSync(join(BUILT, file))).length, 0) / 1000;

const first = collect("index.html");
const start = size(first);
console.log(`web app: ${start.toFixed(0)} kB compressed at the first visit, at most ${LIMIT_KB} kB`);
if (start > LIMIT_KB) process.exitCode = 1;

const total = size(new Set(Object.keys(manifest).flatMap((name) => [...collect(name)])));
console.log(`web app: ${total.toFixed(0)} kB compressed in all`);
