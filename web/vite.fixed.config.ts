// The build of the scripts with fixed names, after the app's and apart from it: that of the pages of links, and the service
// worker. As further entries of the app's build they would split the app into many small chunks.

import { join } from "node:path";
import { defineConfig } from "vite";
import app from "./vite.config.ts";

const NAMES: Record<string, string> = {
  link: "assets/link.js", // the server's pages load it by this name
  sw: "sw.js", // its folder is what it controls
};

export default defineConfig({
  ...app,
  publicDir: false,
  build: {
    ...app.build,
    emptyOutDir: false,
    manifest: ".vite/fixed.json",
    rolldownOptions: {
      input: {
        link: join(import.meta.dirname, "src/link/main.ts"),
        sw: join(import.meta.dirname, "src/pwa/worker.ts"),
      },
      output: { ...app.build?.rolldownOptions?.output, entryFileNames: ({ name }) => NAMES[name] ?? "" },
    },
  },
});
