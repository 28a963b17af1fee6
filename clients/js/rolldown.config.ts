import { defineConfig } from "rolldown";

// One file for each entry of `exports`, without imports of other packages: pages without a bundler load them, too. Only the
// plugin for Uppy imports Uppy.
export default defineConfig({
  input: {
    index: "src/index.ts",
    upload: "src/upload/index.ts",
    worker: "src/worker/main.ts",
    uppy: "src/uppy/index.ts",
  },
  external: ["@uppy/core"],
  platform: "browser",
  output: { dir: "dist", format: "esm", chunkFileNames: "[name].js", minify: true },
});
