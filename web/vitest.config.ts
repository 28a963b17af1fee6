import { defineConfig } from "vitest/config";

const isLong = process.env.E2E === "long";
const drawsScreenshots = process.env.E2E === "screenshots";
const files = isLong ? "*.long.test.ts" : "!(*.long).test.ts";
/** Stops the server that the tests share. */
const ALONE = "web/e2e/app_live.test.ts";

export default defineConfig({
  root: "..",
  test: {
    globalSetup: "web/e2e/support/server.ts",
    // The long tests measure memory, and their limits expect a machine of their own.
    maxWorkers: isLong ? 1 : 2,
    // Against hanging tests only; the machine may be busy.
    testTimeout: isLong ? 3_600_000 : 300_000,
    hookTimeout: 300_000,
    projects: [
      {
        extends: true,
        test: {
          name: "together",
          include: drawsScreenshots
            ? ["web/tools/screenshots.ts"]
            : [`web/e2e/${files}`, `clients/js/e2e/${files}`, ...(isLong ? [] : ["web/src/**/*.test.ts"])],
          exclude: [ALONE],
          sequence: { groupOrder: 0 },
        },
      },
      ...(isLong || drawsScreenshots
        ? []
        : [{ extends: true as const, test: { name: "alone", include: [ALONE], sequence: { groupOrder: 1 } } }]),
    ],
  },
});
