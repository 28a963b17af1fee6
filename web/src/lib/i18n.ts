// Texts from the catalogue, in ICU message syntax. The language of dates and numbers is the browser's.

import { IntlMessageFormat } from "intl-messageformat";
import { en } from "../messages/en/index.ts";

/** Name of a text in the catalogue. */
export type MessageKey = keyof typeof en;
export type Values = Record<string, string | number | Date>;

/** A text as its source or parsed. */
type Message = string | ReturnType<IntlMessageFormat["getAst"]>;

export const LANGUAGE = "en";

let texts: Record<MessageKey, Message> = en;

/** Show other texts than the English ones, from now on. */
export function setTexts(others: Record<MessageKey, Message>): void {
  texts = others;
}

const formats = new Map<MessageKey, IntlMessageFormat>();

/** Return a text of the catalogue: `t("files.deleted", { count })`. */
export function t(key: MessageKey, values?: Values): string {
  let format = formats.get(key);
  if (format === undefined) {
    format = new IntlMessageFormat(texts[key], LANGUAGE, undefined, { ignoreTag: true });
    formats.set(key, format);
  }
  return String(format.format(values));
}

/** Whether the catalogue has a text of this name, which is made of parts, such as `problem.CODE`. */
export function hasMessage(key: string): key is MessageKey {
  return Object.hasOwn(en, key);
}
