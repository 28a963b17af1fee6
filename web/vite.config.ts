// The build of the web app into the package of the server, which serves it (`dropbox_api/web.py`).

import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { extname, join } from "node:path";
import { promisify } from "node:util";
import { brotliCompress, constants, gzip } from "node:zlib";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

const CLIENT = join(import.meta.dirname, "../clients/js/src");
const OUT = join(import.meta.dirname, "../src/dropbox_api/_web");

export default defineConfig({
  root: import.meta.dirname,
  html: { cspNonce: "NONCE-OF-THE-ANSWER" }, // the server replaces it
  resolve: {
    alias: [
      { find: /^dropbox-api-client\/upload$/, replacement: join(CLIENT, "upload/index.ts") },
      { find: /^dropbox-api-client$/, replacement: join(CLIENT, "index.ts") },
    ],
  },
  plugins: [react(), findWorkerOfClient(), compress()],
  build: {
    outDir: OUT,
    emptyOutDir: true,
    target: "es2023",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    manifest: true,
    chunkSizeWarningLimit: 2000, // kB; tools/size.mjs checks what pages load
    rolldownOptions: {
      input: { app: join(import.meta.dirname, "index.html") },
      // Names with the hash of the content are below `hashed`, where browsers keep them for ever; all others stay the same.
      output: {
        entryFileNames: "assets/hashed/[name]-[hash].js",
        chunkFileNames: "assets/hashed/[name]-[hash].js",
        assetFileNames: "assets/hashed/[name]-[hash][extname]",
      },
    },
  },
  // A worker obeys the policy of its script's answer. It has a fixed name, so that browsers ask for the answer each time.
  worker: {
    format: "es",
    rolldownOptions: {
      output: {
        entryFileNames: "assets/workers/[name].js",
        chunkFileNames: "assets/hashed/[name]-[hash].js",
        assetFileNames: "assets/hashed/[name]-[hash][extname]",
      },
    },
  },
  server: {
    port: 5173,
    proxy: Object.fromEntries(
      ["/v1", "/s/", "/docs", "/openapi.json", "/verify-email", "/reset-password", "/change-email", "/undo-email"].map(
        (path) => [path, process.env.DROPBOX_SERVER ?? "http://localhost:8000"],
      ),
    ),
  },
});

/** The client names the script of its worker as it is in its own build; here it is built from the source. */
function findWorkerOfClient(): Plugin {
  return {
    name: "find-worker-of-client",
    enforce: "pre",
    transform(code, id) {
      if (id !== join(CLIENT, "upload/engine.ts")) return;
      const found = code.replace('new Worker(new URL("./worker.js"', 'new Worker(new URL("../worker/main.ts"');
      if (found === code) this.error("engine.ts makes its worker in another way: change this plugin, too");
      return found.replace(
        'const url = new URL("./worker.js", import.meta.url)',
        "const url = new URL(import.meta.url)",
      );
    },
  };
}

const TEXT = new Set([".css", ".html", ".js", ".json", ".mjs", ".svg", ".txt", ".wasm", ".webmanifest"]);
/** Smaller files fit into one packet. */
const COMPRESSED_BYTES = 1024;

/** Prepare the compressed representations of the files that the server sends unchanged. */
function compress(): Plugin {
  return {
    name: "compress",
    apply: "build",
    async closeBundle() {
      const entries = await readdir(OUT, { recursive: true, withFileTypes: true });
      for (const entry of entries) {
        if (!entry.isFile() || !TEXT.has(extname(entry.name))) continue;
        const path = join(entry.parentPath, entry.name);
        const content = await readFile(path);
        if (content.length < COMPRESSED_BYTES || (await isNewer(`${path}.br`, path))) continue;
        const params = { [constants.BROTLI_PARAM_QUALITY]: 10, [constants.BROTLI_PARAM_SIZE_HINT]: content.length };
        await writeFile(`${path}.gz`, await promisify(gzip)(content, { level: 9 }));
        await writeFile(`${path}.br`, await promisify(brotliCompress)(content, { params }));
      }
    },
  };
}

/** Whether an earlier build has compressed the file, as it is now. */
async function isNewer(compressed: string, path: string): Promise<boolean> {
  const [made, source] = await Promise.all([stat(compressed).catch(() => null), stat(path)]);
  return made !== null && made.mtimeMs >= source.mtimeMs;
}
