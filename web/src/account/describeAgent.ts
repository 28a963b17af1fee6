// The browser or program of a sign-in, from its User-Agent.

import { t } from "../lib/i18n.ts";

const BROWSERS = [
  ["Edge", /\bEdg(e|A|iOS)?\//],
  ["Opera", /\bOPR\//],
  ["Firefox", /\b(Firefox|FxiOS)\//],
  ["Chrome", /\b(Chrome|CriOS|HeadlessChrome)\//],
  ["Safari", /\bSafari\//],
] as const;

const SYSTEMS = [
  ["Android", /\bAndroid\b/],
  ["iPhone", /\biPhone\b/],
  ["iPad", /\biPad\b/],
  ["Windows", /\bWindows\b/],
  ["ChromeOS", /\bCrOS\b/],
  ["macOS", /\bMac OS X\b/],
  ["Linux", /\bLinux\b/],
] as const;

export interface Agent {
  name: string;
  kind: "computer" | "phone" | "program";
}

export function describeAgent(userAgent: string | null): Agent {
  const find = (names: readonly (readonly [string, RegExp])[]) =>
    names.find(([, text]) => text.test(userAgent ?? ""))?.[0];
  const [browser, system] = [find(BROWSERS), find(SYSTEMS)];
  if (browser === undefined) return { name: userAgent?.split("/")[0] || t("sessions.unknown"), kind: "program" };
  const kind = ["Android", "iPhone", "iPad"].includes(system ?? "") ? "phone" : "computer";
  return { name: system === undefined ? browser : t("sessions.browser", { browser, system }), kind };
}
