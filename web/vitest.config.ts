import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["e2e/*.test.ts"],
    globalSetup: "e2e/support/server.ts",
    fileParallelism: false, // one browser at a time
    // Against hanging tests only; the machine may be busy.
    testTimeout: 300_000,
    hookTimeout: 300_000,
  },
});
