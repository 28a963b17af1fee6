import { defineConfig } from "vitest/config";

export default defineConfig({
  root: "..",
  test: {
    include: ["web/src/**/*.test.ts", "web/e2e/*.test.ts", "clients/js/e2e/*.test.ts"],
    globalSetup: "web/e2e/support/server.ts",
    fileParallelism: false, // one browser at a time
    // Against hanging tests only; the machine may be busy.
    testTimeout: 300_000,
    hookTimeout: 300_000,
  },
});
