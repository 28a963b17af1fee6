// The build of the script of the pages of links, after the app's and apart from it: as another entry of the app's build it
// would split the app into many small chunks.

import { join } from "node:path";
import { defineConfig } from "vite";
import app from "./vite.config.ts";

export default defineConfig({
  ...app,
  publicDir: false,
  build: {
    ...app.build,
    emptyOutDir: false,
    manifest: ".vite/link.json",
    rolldownOptions: {
      input: { link: join(import.meta.dirname, "src/link/main.ts") },
      // The server's pages load the entry by this name.
      output: { ...app.build?.rolldownOptions?.output, entryFileNames: "assets/[name].js" },
    },
  },
});
