import { defineConfig } from "vitest/config";

// Without servers and without a browser. `web/vitest.config.ts` runs `e2e` in Chromium.
export default defineConfig({
  test: { include: ["tests/**/*.test.ts"], testTimeout: 120_000 }, // against hanging tests only
});
