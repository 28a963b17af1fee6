// Sizes and times as text.

/** Return a readable size, as the server's pages have it: 999 B, 1.4 MB (powers of 1000). */
export function formatBytes(sizeBytes: number): string {
  let [size, unit] = [sizeBytes, "B"];
  for (const larger of ["kB", "MB", "GB", "TB"]) {
    if (size < 999.5) break;
    [size, unit] = [size / 1000, larger];
  }
  return `${unit === "B" || size >= 99.5 ? Math.round(size) : size.toFixed(1)} ${unit}`;
}

/** Return roughly how long: "5 seconds", "3 minutes". */
export function formatDuration(seconds: number): string {
  for (const [unit, length] of [
    ["day", 86_400],
    ["hour", 3600],
    ["minute", 60],
  ] as const) {
    if (seconds >= 1.5 * length) return count(Math.round(seconds / length), unit);
  }
  return seconds >= 60 ? "1 minute" : count(Math.max(1, Math.round(seconds)), "second");
}

/** Return a number with its noun: "1 file", "2 files". */
export function count(number: number, noun: string): string {
  return `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
}

/** Return a share in whole percent; 100 only for the whole. */
export function formatShare(part: number, whole: number): string {
  return `${whole > 0 ? Math.floor((100 * part) / whole) : 100} %`;
}
