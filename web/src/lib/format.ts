// Sizes, dates and numbers as the browser's language writes them.

const number = new Intl.NumberFormat();
const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const time = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
const list = new Intl.ListFormat();

const UNITS = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte", "petabyte"] as const;

function formatSize(bytes: number): Intl.NumberFormatPart[] {
  let [size, unit] = [bytes, 0];
  for (; size >= 999.5 && unit < UNITS.length - 1; unit++) size /= 1000;
  return new Intl.NumberFormat(undefined, {
    style: "unit",
    unit: UNITS[unit] ?? "byte",
    unitDisplay: unit === 0 ? "long" : "short",
    maximumFractionDigits: unit === 0 || size >= 99.5 ? 0 : 1,
  }).formatToParts(size);
}

/** Format a size in powers of 1000, as the disks of most systems do: "1.4 MB". */
export function formatBytes(bytes: number): string {
  return formatSize(bytes)
    .map(({ value }) => value)
    .join("");
}

/** Return the name of the unit in which a size is written: "MB". */
export function formatUnit(bytes: number): string {
  return formatSize(bytes).find(({ type }) => type === "unit")?.value ?? "";
}

export function formatNumber(value: number): string {
  return number.format(value);
}

export function formatDay(date: string | Date): string {
  return day.format(new Date(date));
}

export function formatMoment(date: string | Date): string {
  return moment.format(new Date(date));
}

export function formatTime(date: string | Date): string {
  return time.format(new Date(date));
}

/** Format a date for a list: the time today, else the day. */
export function formatShort(date: string | Date, now = new Date()): string {
  const at = new Date(date);
  return at.toDateString() === now.toDateString() ? time.format(at) : day.format(at);
}

const STEPS = [
  ["minute", 60],
  ["hour", 60],
  ["day", 24],
  ["month", 30],
  ["year", 12],
] as const;

/** Format a date by its distance: "3 hours ago", "in 5 days". */
export function formatRelative(date: string | Date, now = new Date()): string {
  let distance = (new Date(date).getTime() - now.getTime()) / 1000;
  let unit: Intl.RelativeTimeFormatUnit = "second";
  for (const [name, count] of STEPS) {
    if (Math.abs(distance) < count) break;
    distance /= count;
    unit = name;
  }
  return unit === "second" ? relative.format(0, unit) : relative.format(Math.round(distance), unit);
}

export function formatList(parts: readonly string[]): string {
  return list.format(parts);
}

/** Format how long something takes: "2 minutes". */
export function formatDuration(seconds: number): string {
  const [value, unit] =
    seconds < 60 ? [seconds, "second"] : seconds < 3600 ? [seconds / 60, "minute"] : [seconds / 3600, "hour"];
  const format = new Intl.NumberFormat(undefined, {
    style: "unit",
    unit,
    unitDisplay: "long",
    maximumFractionDigits: 0,
  });
  return format.format(Math.max(1, value));
}
