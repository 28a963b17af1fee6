// The page of a link that shows files: previews over the page, with the next and the previous one, and further files.

import { showContent } from "./content.ts";
import { make, makeIcon, makeIconButton } from "./dom.ts";
import { find, type Link, openLink } from "./page.ts";

/** A horizontal move of a finger that is longer turns the page. */
const SWIPE_PX = 60;

/** Open previews in the page instead of in another one, and load further files as the page is scrolled. */
export function showPreviews(link: Link): void {
  const preview = new Preview(link);
  document.addEventListener("click", (event) => {
    const clicked =
      event.target instanceof Element && event.target.closest<HTMLAnchorElement>("a[data-preview], a.cover");
    const target = clicked && (clicked.dataset.preview ? clicked : list()[0]); // the cover is that of the only file
    if (!target || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    preview.open(target);
  });
  addEventListener("popstate", () => preview.follow());
  preview.follow();
  loadMore();
}

/** The dialog with one file. The address names the file, so that Back closes it and a reload opens it again. */
class Preview {
  private readonly dialog = make("dialog", { className: "preview" });
  private readonly stage = make("div", { className: "stage" });
  private readonly name = make("span", { className: "name" });
  private readonly facts = make("span", { className: "facts" });
  private readonly download = make("a", { className: "icon-button", rel: "nofollow" }, makeIcon("download"));
  private readonly previous = makeIconButton("left", "Previous file", () => void this.turn(-1));
  private readonly next = makeIconButton("right", "Next file", () => void this.turn(1));
  private readonly client;
  private shown: HTMLAnchorElement | null = null;
  private leave: (() => void) | null = null;

  constructor(private readonly link: Link) {
    this.client = openLink(link);
    const caption = make("p", { className: "caption", id: "caption" }, this.name, this.facts);
    caption.setAttribute("aria-live", "polite");
    this.dialog.setAttribute("aria-labelledby", caption.id);
    this.previous.classList.add("previous");
    this.next.classList.add("next");
    const close = makeIconButton("cancel", "Close", () => this.close());
    const head = make("header", {}, caption, make("span", { className: "actions" }, this.download, close));
    this.dialog.append(head, this.stage, this.previous, this.next);
    this.dialog.oncancel = (event) => {
      event.preventDefault();
      this.close();
    };
    this.dialog.onkeydown = (event) => this.press(event);
    this.dialog.onclick = ({ target }) => target === this.stage && this.close();
    this.watchSwipes();
    document.body.append(this.dialog);
  }

  /** Show the file of a link in the page. */
  open(target: HTMLAnchorElement): void {
    history.pushState({ isPreview: true }, "", `#${target.id}`);
    this.follow();
  }

  /** Show what the address says. */
  follow(): void {
    const target = document.getElementById(location.hash.slice(1));
    if (target instanceof HTMLAnchorElement && target.dataset.preview) {
      this.show(target);
      return;
    }
    if (!this.dialog.open) return;
    this.clear();
    this.dialog.close();
    this.shown?.focus(); // the last file that was seen, not the first
    this.shown = null;
  }

  private close(): void {
    if ((history.state as { isPreview?: true } | null)?.isPreview) history.back();
    else {
      history.replaceState(null, "", location.pathname + location.search);
      this.follow();
    }
  }

  private show(target: HTMLAnchorElement): void {
    this.clear();
    this.shown = target;
    const all = list();
    const index = all.indexOf(target);
    const { name = "", size = "", download } = target.dataset;
    this.name.replaceChildren(make("bdi", {}, name));
    this.facts.textContent = [all.length > 1 && `${index + 1} of ${all.length}`, size].filter(Boolean).join(" · ");
    this.download.hidden = !download;
    if (download) this.download.href = download;
    this.download.ariaLabel = `Download ${name}`;
    this.previous.hidden = index === 0;
    this.next.hidden = index === all.length - 1 && !findMore();
    if (!this.dialog.open) this.dialog.showModal();
    this.leave = showContent(this.stage, target, { client: this.client, token: this.link.token });
  }

  private clear(): void {
    this.leave?.();
    this.leave = null;
    this.stage.replaceChildren();
  }

  /** Show the next file or the previous one; the address follows without a step in the history. */
  private async turn(step: 1 | -1): Promise<void> {
    if (!this.shown) return;
    const findTarget = () => (this.shown ? list()[list().indexOf(this.shown) + step] : undefined);
    let target = findTarget();
    while (!target && step === 1 && (await appendMore())) target = findTarget();
    if (!target || !this.shown) return;
    history.replaceState(history.state, "", `#${target.id}`);
    this.show(target);
    const button = step === 1 ? this.next : this.previous;
    if (button.hidden) find(this.dialog, "header button").focus();
  }

  private press(event: KeyboardEvent): void {
    if (event.target instanceof HTMLMediaElement || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === "ArrowLeft") void this.turn(-1);
    if (event.key === "ArrowRight") void this.turn(1);
  }

  private watchSwipes(): void {
    let begun: { x: number; y: number } | null = null;
    this.stage.ontouchstart = ({ touches }) => {
      const [touch] = touches;
      begun = touches.length === 1 && touch ? { x: touch.clientX, y: touch.clientY } : null;
    };
    this.stage.ontouchend = ({ changedTouches: [touch] }) => {
      if (!begun || !touch) return;
      const [x, y] = [touch.clientX - begun.x, touch.clientY - begun.y];
      if (Math.abs(x) > SWIPE_PX && Math.abs(x) > 2 * Math.abs(y)) void this.turn(x < 0 ? 1 : -1);
    };
  }
}

/** Return the links of the files that can be shown, in the order of the page. */
function list(): HTMLAnchorElement[] {
  return [...document.querySelectorAll<HTMLAnchorElement>("a[data-preview]")];
}

// Further files: the server's next page, whose items join those of this one.

let loading: Promise<boolean> | null = null;

function findMore(): HTMLAnchorElement | null {
  return document.querySelector("a[data-more]");
}

/** Load more files when their link comes near. */
function loadMore(): void {
  const more = findMore();
  if (!more) return;
  const observer = new IntersectionObserver(
    async ([entry]) => {
      if (entry?.isIntersecting) await appendMore();
      if (!more.isConnected) observer.disconnect();
    },
    { rootMargin: "600px" },
  );
  observer.observe(more);
}

/** Append the next page's files; return whether there were any. Where that fails, the link to the page stays. */
function appendMore(): Promise<boolean> {
  const more = findMore();
  if (!more) return Promise.resolve(false);
  loading ??= fetchMore(more)
    .catch(() => false)
    .finally(() => {
      loading = null;
    });
  return loading;
}

async function fetchMore(more: HTMLAnchorElement): Promise<boolean> {
  const answer = await fetch(more.href);
  if (!answer.ok) return false;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const items = page.querySelectorAll(".files > li");
  find(document, ".files").append(...items);
  const next = page.querySelector<HTMLAnchorElement>("a[data-more]");
  if (next) more.href = next.href;
  else more.parentElement?.remove();
  loadMore();
  return items.length > 0;
}
