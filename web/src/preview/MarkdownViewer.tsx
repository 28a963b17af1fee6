import DOMPurify from "dompurify";
import type { RemoteFile } from "dropbox-api-client";
import { Marked } from "marked";
import { useLayoutEffect, useRef } from "react";
import classes from "./preview.module.css";
import { TextFrame } from "./TextViewer.tsx";

/** Text and its structure, nothing that loads, runs or takes input. */
const TAGS =
  "a b blockquote br code dd del details div dl dt em h1 h2 h3 h4 h5 h6 hr i kbd li mark ol p pre s samp small span strong sub summary sup table tbody td th thead tr u ul".split(
    " ",
  );

export default function MarkdownViewer({ file }: { file: RemoteFile }) {
  return <TextFrame file={file}>{({ text }) => <Markdown text={text} />}</TextFrame>;
}

function Markdown({ text }: { text: string }) {
  const article = useRef<HTMLElement>(null);
  useLayoutEffect(() => {
    article.current?.replaceChildren(renderMarkdown(text));
  }, [text]);
  return <article ref={article} className={classes.markdown} />;
}

const marked = new Marked({ async: false, gfm: true, renderer: { html: ({ text }) => keepStructure(text) } });

/**
 * Reduce HTML in Markdown to tags without attributes, except the addresses of links. What is safe decides DOMPurify;
 * but Chromium reports handlers and styles as violations of the policy while DOMPurify parses them.
 */
function keepStructure(html: string): string {
  return html
    .replace(/<!--[\s\S]*?(?:-->|$)|<(script|style)\b[\s\S]*?(?:<\/\1\s*>|$)/gi, "")
    .replace(/<(?:(\/?)([a-z][a-z0-9]*)\b([^<>]*)>)?/gi, (_, slash: string, name?: string, attributes = "") => {
      if (name === undefined) return "&lt;";
      if (!TAGS.includes(name.toLowerCase())) return "";
      const address = /\bhref\s*=\s*("[^"]*"|'[^']*')/i.exec(attributes)?.[1];
      return name.toLowerCase() === "a" && address ? `<a href=${address}>` : `<${slash}${name}>`;
    });
}

function renderMarkdown(text: string): DocumentFragment {
  const html = marked.parse(text) as string;
  const fragment = DOMPurify.sanitize(html, {
    ALLOWED_TAGS: TAGS,
    ALLOWED_ATTR: ["href", "title", "colspan", "rowspan", "open"],
    ALLOW_DATA_ATTR: false,
    ALLOW_ARIA_ATTR: false,
    RETURN_DOM_FRAGMENT: true,
  });
  for (const link of fragment.querySelectorAll("a")) {
    // Other addresses are relative to a folder that is no address of the app.
    if (/^(https?:|mailto:)/i.test(link.getAttribute("href") ?? "")) {
      link.target = "_blank";
      link.rel = "noopener noreferrer nofollow";
    } else {
      link.removeAttribute("href");
    }
  }
  // They scroll to the side, where they are wide: the keyboard needs the focus for that.
  for (const wide of fragment.querySelectorAll<HTMLElement>("table, pre")) wide.tabIndex = 0;
  return fragment;
}
