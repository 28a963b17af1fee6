// The language of tests, `ar-XB`: the English texts in brackets and with doubled vowels, which makes them 40 % longer, from right to
// left. A text without brackets is not from the catalogue.

import { IntlMessageFormat } from "intl-messageformat";
import { en } from "../messages/en/index.ts";
import { LANGUAGE, type MessageKey, setTexts } from "./i18n.ts";

type Elements = ReturnType<IntlMessageFormat["getAst"]>;

/** Of an element without arguments. */
const LITERAL = 0;

const VOWELS: Record<string, string> = {
  ...{ a: "àà", e: "éé", i: "îî", o: "öö", u: "ûû" },
  ...{ A: "ÀÀ", E: "ÉÉ", I: "ÎÎ", O: "ÖÖ", U: "ÛÛ" },
};

/** Return a vowel as the pseudo-language writes it, other letters as they are. */
export function lengthen(letter: string): string {
  return VOWELS[letter] ?? letter;
}

export function showPseudoLanguage(): void {
  const texts = Object.entries(en).map(([key, text]) => [key, translate(text)]);
  setTexts(Object.fromEntries(texts) as Record<MessageKey, Elements>);
  document.documentElement.dir = "rtl";
}

function translate(text: string): Elements {
  const elements = new IntlMessageFormat(text, LANGUAGE, undefined, { ignoreTag: true }).getAst();
  return [{ type: LITERAL, value: "[" }, ...translateElements(elements), { type: LITERAL, value: "]" }];
}

function translateElements(elements: Elements): Elements {
  return elements.map((element) => {
    if (element.type === LITERAL) return { ...element, value: [...element.value].map(lengthen).join("") };
    if (!("options" in element)) return element;
    const options = Object.entries(element.options).map(([name, option]) => {
      return [name, { ...option, value: translateElements(option.value) }];
    });
    return { ...element, options: Object.fromEntries(options) } as typeof element;
  });
}
