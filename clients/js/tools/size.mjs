// Bundle the package in memory, print the compressed size of what a page loads with each entry, and fail above a limit.

import { gzipSync } from "node:zlib";
import { rolldown } from "rolldown";
import config from "../rolldown.config.ts";

const LIMITS_KB = { index: 12, upload: 10, worker: 18 };

const { output, ...input } = config;
const built = await (await rolldown({ ...input, logLevel: "silent" })).generate(output);
const chunks = new Map(built.output.filter(({ type }) => type === "chunk").map((chunk) => [chunk.fileName, chunk]));

/** Add a chunk and all that it imports at once. Chunks that it imports later do not count. */
function addChunks(fileName, loaded = new Set()) {
  const chunk = chunks.get(fileName);
  if (chunk === undefined || loaded.has(chunk)) return loaded;
  loaded.add(chunk);
  for (const imported of chunk.imports) addChunks(imported, loaded);
  return loaded;
}

for (const { fileName, isEntry, name } of chunks.values()) {
  if (!isEntry) continue;
  const bytes = [...addChunks(fileName)].reduce((sum, { code }) => sum + gzipSync(code).length, 0);
  const limit = LIMITS_KB[name];
  console.log(`${fileName}: ${(bytes / 1000).toFixed(1)} kB compressed${limit ? `, at most ${limit} kB` : ""}`);
  if (limit && bytes > limit * 1000) process.exitCode = 1;
}
