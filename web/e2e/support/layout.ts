// What does not fit on the screen, and texts that are not from the catalogue.

import type { Page } from "playwright-core";

/** Return the parts of a page that reach out of the screen to the side, and texts that are cut. */
export function findOverflow(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    const { clientWidth: width, scrollWidth } = document.documentElement;
    const found = scrollWidth > width ? [`the page is ${scrollWidth} px wide`] : [];
    const describe = (element: Element) => `${element.outerHTML.slice(0, 300)}`;
    const hides = (element: Element) => getComputedStyle(element).overflowX !== "visible";
    const isClipped = (element: Element): boolean => {
      for (let above = element.parentElement; above && above !== document.body; above = above.parentElement) {
        if (hides(above)) return true;
      }
      return false;
    };
    for (const element of document.querySelectorAll<HTMLElement>("#root *, [data-portal] *")) {
      if (!element.checkVisibility({ visibilityProperty: true, opacityProperty: true })) continue;
      const box = element.getBoundingClientRect();
      if (box.width < 2 || box.height < 2) continue; // for screen readers
      if ((box.left < -1 || box.right > width + 1) && !isClipped(element))
        found.push(`out of sight: ${describe(element)}`);
      const isCut = element.scrollWidth > element.clientWidth + 1 && element.clientWidth > 0;
      if (element.matches("input")) continue; // the caret shows the rest
      const { overflowX, textOverflow } = getComputedStyle(element);
      if (isCut && /hidden|clip/.test(overflowX) && (textOverflow !== "ellipsis" || element.closest("button, label"))) {
        found.push(`cut: ${describe(element)}`);
      }
    }
    return found;
  });
}

/** Return texts that are neither in brackets, as the pseudo-language writes those of the catalogue, nor `data` of a user. */
export function findBareTexts(page: Page, data: readonly RegExp[]): Promise<string[]> {
  return page.evaluate(
    (data) => {
      const isBare = (text: string) => {
        let rest = text;
        for (let before = ""; before !== rest; ) [before, rest] = [rest, rest.replace(/\[[^[\]]*\]/g, "")];
        return /[a-z]{2}/i.test(rest.replace(new RegExp(data, "g"), "")); // dates and sizes are in Arabic
      };
      const found = new Set<string>();
      for (const element of document.querySelectorAll("#root *, [data-portal] *")) {
        // Content of files, commands, keys and initials are the same in all languages.
        if (
          element.closest("article, pre, kbd, style, [class*=textLayer], [class*=Avatar]") ||
          !element.checkVisibility()
        )
          continue;
        const texts = [...element.childNodes].filter(({ nodeType }) => nodeType === Node.TEXT_NODE);
        const attributes = ["aria-label", "title", "placeholder", "alt"].map((name) => element.getAttribute(name));
        for (const text of [...texts.map(({ textContent }) => textContent), ...attributes]) {
          if (text && isBare(text)) found.add(text);
        }
      }
      return [...found].map((text) => `not from the catalogue: ${text}`);
    },
    data.map(({ source }) => source).join("|"),
  );
}
