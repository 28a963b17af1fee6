// What the server gets of the form of a link.

import { expect, test } from "vitest";
import { fieldsOf, type LinkFields, newLink, settingsOf, toDay } from "./linkForm.ts";

const NOW = new Date("2026-11-30T12:00:00Z");

test.each<[string, Partial<LinkFields>, object]>([
  ["nothing", {}, { expires_at: null, max_downloads: null }],
  ["a password", { password: "sesame" }, { password: "sesame", expires_at: null, max_downloads: null }],
  ["no password any more", { removePassword: true }, { password: null, expires_at: null, max_downloads: null }],
  ["days", { expiry: "7" }, { expires_at: "2026-12-07T12:00:00.000Z", max_downloads: null }],
  ["limits of downloads alone", { maxDownloads: 3, maxBytes: 9 }, { expires_at: null, max_downloads: 3 }],
  [
    "limits of uploads alone",
    { mode: "upload", maxDownloads: 3, maxBytes: 9, maxFileBytes: 8, maxFiles: 7 },
    { expires_at: null, max_bytes: 9, max_file_bytes: 8, max_files: 7 },
  ],
])("form of a link sets %s", (_, fields, expected) => {
  expect(settingsOf({ ...newLink(), ...fields }, NOW)).toEqual(expected);
});

test("link of a chosen day expires with the end of that day", () => {
  const { expires_at } = settingsOf({ ...newLink(), expiry: "date", date: "2026-12-24" }, NOW);
  expect(toDay(new Date(expires_at ?? ""))).toBe("2026-12-24");
  expect(toDay(new Date(new Date(expires_at ?? "").getTime() + 1000))).toBe("2026-12-25");
});

test("form of an existing link that is saved unchanged changes nothing", () => {
  const expires_at = new Date("2026-12-24T23:59:59").toISOString();
  const link = {
    mode: "download",
    expires_at,
    max_downloads: 5,
    max_bytes: null,
    max_file_bytes: null,
    max_files: null,
  };
  const fields = fieldsOf(link as Parameters<typeof fieldsOf>[0]);
  expect(settingsOf(fields, NOW)).toEqual({
    expires_at: new Date("2026-12-24T23:59:59").toISOString(),
    max_downloads: 5,
  });
});
