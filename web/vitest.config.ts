import { defineConfig } from "vitest/config";

const isLong = process.env.E2E === "long";
const files = isLong ? "*.long.test.ts" : "!(*.long).test.ts";

export default defineConfig({
  root: "..",
  test: {
    include: [`web/e2e/${files}`, `clients/js/e2e/${files}`, ...(isLong ? [] : ["web/src/**/*.test.ts"])],
    globalSetup: "web/e2e/support/server.ts",
    fileParallelism: false, // one browser at a time
    // Against hanging tests only; the machine may be busy.
    testTimeout: isLong ? 3_600_000 : 300_000,
    hookTimeout: 300_000,
  },
});
