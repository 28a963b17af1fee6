// Texts from the catalogue, in ICU message syntax. The language of dates and numbers is the browser's.

import { IntlMessageFormat } from "intl-messageformat";
import { en } from "../messages/en/index.ts";

/** Name of a text in the catalogue. */
export type MessageKey = keyof typeof en;
export type Values = Record<string, string | number | Date>;

export const LANGUAGE = "en";

const formats = new Map<MessageKey, IntlMessageFormat>();

/** Return a text of the catalogue: `t("files.deleted", { count })`. */
export function t(key: MessageKey, values?: Values): string {
  let format = formats.get(key);
  if (format === undefined) {
    format = new IntlMessageFormat(en[key], LANGUAGE, undefined, { ignoreTag: true });
    formats.set(key, format);
  }
  return String(format.format(values));
}

/** Whether the catalogue has a text of this name, which is made of parts, such as `problem.CODE`. */
export function hasMessage(key: string): key is MessageKey {
  return Object.hasOwn(en, key);
}
