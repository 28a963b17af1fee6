// What the server's HTML tells the script.

import { type Client, createClient, linkPass, type Pass } from "dropbox-api-client";
import { askForPassword } from "./password.ts";

/** `data-link` of the script's element. */
export interface Link {
  token: string;
  mode: "view" | "download" | "upload";
  /** For a link with a password: what the server gave for it. */
  pass: Pass | null;
}

/** Return what the page tells. */
export function readLink(): Link {
  return JSON.parse(findScript().dataset.link ?? "") as Link;
}

/** Make the client of a link; it asks for the password when the server refuses the pass. */
export function openLink({ token, pass }: Link): Client {
  const baseUrl = new URL("..", findScript().src).href; // the script is in /assets/
  return createClient({ baseUrl, ...(pass && { auth: linkPass(token, { pass, getPassword: askForPassword }) }) });
}

function findScript(): HTMLScriptElement {
  return find(document, "script[data-link]") as HTMLScriptElement;
}

/** Return an element that the server's HTML has. */
export function find(root: ParentNode, selector: string): HTMLElement {
  const found = root.querySelector<HTMLElement>(selector);
  if (!found) throw new Error(`The page has no ${selector}`);
  return found;
}
