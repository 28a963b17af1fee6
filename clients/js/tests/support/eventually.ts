import { vi } from "vitest";

/** Repeat an assertion until it holds; the machine may be busy. */
export function eventually(assertion: () => void): Promise<void> {
  return vi.waitFor(assertion, { timeout: 60_000, interval: 2 });
}
