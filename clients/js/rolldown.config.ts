import { defineConfig } from "rolldown";

// One file for each entry of `exports`, without imports of other packages: pages without a bundler load them, too.
export default defineConfig({
  input: { index: "src/index.ts" },
  platform: "browser",
  output: { dir: "dist", format: "esm", chunkFileNames: "[name].js", minify: true },
});
