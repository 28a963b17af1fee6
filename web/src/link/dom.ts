// Elements, made in one expression.

type Properties<Tag extends keyof HTMLElementTagNameMap> = Partial<
  Omit<HTMLElementTagNameMap[Tag], "style" | "dataset" | "children">
>;

/** Make an element with properties and children; a false or null child is left out. */
export function make<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  properties: Properties<Tag> = {},
  ...children: (Node | string | false | null)[]
): HTMLElementTagNameMap[Tag] {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children.filter((child): child is Node | string => child !== null && child !== false));
  return element;
}

const ICONS = {
  cancel: "M6 6l12 12M18 6L6 18",
  check: "M5 13l4 4L19 7",
  download: "M12 4v11M7 10l5 5 5-5M5 20h14",
  file: "M14 3H7a1 1 0 0 0-1 1v16a1 1 0 0 0 1 1h10a1 1 0 0 0 1-1V7zM14 3v4h4",
  left: "M15 5l-7 7 7 7",
  pause: "M9 5v14M15 5v14",
  resume: "M8 5l11 7-11 7z",
  retry: "M19 12a7 7 0 1 1-2-5l2 2M19 4v5h-5",
  right: "M9 5l7 7-7 7",
  upload: "M12 16V5M7 10l5-5 5 5M5 20h14",
};

export type Icon = keyof typeof ICONS;

export function makeIcon(icon: Icon): SVGElement {
  const namespace = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(namespace, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(namespace, "path");
  path.setAttribute("d", ICONS[icon]);
  svg.append(path);
  return svg;
}

/** Make a button that shows an icon alone; `label` names it. */
export function makeIconButton(icon: Icon, label: string, onclick: () => void): HTMLButtonElement {
  const button = make("button", { type: "button", className: "icon-button", title: label, onclick }, makeIcon(icon));
  button.setAttribute("aria-label", label);
  return button;
}
