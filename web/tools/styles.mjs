// Fail where the built app uses a class of Mantine without its rules: `src/ui/mantine.css` must import the component's style.

import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const BUILT = join(import.meta.dirname, "../../src/dropbox_api/_web/assets/hashed");
const CLASS = /\bm_[0-9a-f]{6,}\b/g;

const built = readdirSync(BUILT);
const readAll = (end) =>
  built.filter((name) => name.endsWith(end)).map((name) => readFileSync(join(BUILT, name), "utf8"));
const collect = (texts) => new Set(texts.flatMap((text) => text.match(CLASS) ?? []));

const folder = join(createRequire(import.meta.url).resolve("@mantine/core/styles.css"), "../styles");
const sheets = readdirSync(folder).filter((name) => name.endsWith(".css") && !name.endsWith(".layer.css"));
const used = collect(readAll(".js"));
const styled = collect(readAll(".css"));
const missing = sheets.filter((name) => {
  const classes = collect([readFileSync(join(folder, name), "utf8")]);
  return [...classes].some((each) => used.has(each) && !styled.has(each));
});
for (const name of missing) console.error(`web/src/ui/mantine.css lacks @mantine/core/styles/${name}`);
if (missing.length) process.exitCode = 1;
