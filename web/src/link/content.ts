// The content of one file in the preview.

import { type Client, isProblem, signDownload } from "dropbox-api-client";
import { make } from "./dom.ts";

interface Source {
  client: Client;
  token: string;
}

/**
 * Show the file of a link in the page; returns the function that ends it.
 *
 * Pictures come as large thumbnails where there are any, else as they are. Films and sounds are read by ranges.
 */
export function showContent(stage: HTMLElement, target: HTMLAnchorElement, source: Source): () => void {
  const leaving = new AbortController();
  const { preview, name = "", id = "", picture } = target.dataset;
  const sign = async () => {
    const { url } = await signDownload(source.client, { fileId: id, link: source.token }, { inline: true });
    leaving.signal.throwIfAborted();
    return url;
  };
  const fail = (error: unknown) => {
    if (!leaving.signal.aborted) stage.replaceChildren(make("p", { role: "alert" }, describe(error, name)));
  };
  if (preview === "video" || preview === "audio") {
    void play(stage, make(preview, { controls: true, autoplay: true, ariaLabel: name }), sign, leaving.signal).catch(
      fail,
    );
  } else {
    showPicture(stage, name, picture, preview === "image" ? sign : null, fail);
    if (preview === "document") {
      const open = make(
        "a",
        { className: "button", href: target.href, target: "_blank", rel: "nofollow noopener" },
        "Open",
      );
      stage.append(open);
    }
  }
  return () => {
    leaving.abort();
    const media = stage.querySelector<HTMLMediaElement>("video, audio");
    media?.pause();
    media?.removeAttribute("src");
    media?.load(); // ends its requests
  };
}

/** Show a picture of the server's; where there is none, or it fails, the content by `sign`. */
function showPicture(
  stage: HTMLElement,
  name: string,
  picture: string | undefined,
  sign: (() => Promise<string>) | null,
  fail: (error: unknown) => void,
): void {
  const image = make("img", { alt: name });
  stage.ariaBusy = "true";
  image.onload = () => {
    stage.ariaBusy = "false";
  };
  const showOriginal = async () => {
    if (!sign) throw new Error("The picture did not load");
    image.onerror = () => fail(new Error("The picture did not load"));
    image.src = await sign();
  };
  image.onerror = () => void showOriginal().catch(fail);
  stage.append(image);
  if (picture) image.src = picture;
  else void showOriginal().catch(fail);
}

/** Play a film or a sound. Its URL ends after some minutes: then another one continues at the same place. */
async function play(
  stage: HTMLElement,
  media: HTMLMediaElement,
  sign: () => Promise<string>,
  signal: AbortSignal,
): Promise<void> {
  media.src = await sign();
  stage.append(media);
  let failedAtS = -1;
  media.onerror = async () => {
    const positionS = media.currentTime;
    if (signal.aborted) return;
    try {
      // Twice at one place: another URL does not help.
      if (positionS === failedAtS) throw new Error("The browser cannot play it");
      failedAtS = positionS;
      media.src = await sign();
      media.currentTime = positionS;
      await media.play();
    } catch (error) {
      if (signal.aborted || (error instanceof DOMException && error.name === "NotAllowedError")) return;
      stage.replaceChildren(make("p", { role: "alert" }, describe(error, media.ariaLabel ?? "")));
    }
  };
}

function describe(error: unknown, name: string): string {
  if (isProblem(error, "not-found")) return "This link does not work any more. Ask for a new one.";
  if (isProblem(error, "content-quarantined")) return `${name} was blocked by the owner of the link.`;
  return `${name} cannot be shown here.`;
}
