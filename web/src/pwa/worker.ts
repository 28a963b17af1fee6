// The service worker, `/sw.js`: shows a page of its own while the server cannot be reached, and keeps what other apps share.
//
// It caches that one page and nothing else: the app, answers of the API and content always come from the network. A new
// worker takes over at once, since no page depends on it: uploads go on.

import { CLIENT_PREFIXES, isBelow } from "../lib/paths.ts";
import { keepShare } from "./shares.ts";

declare const self: ServiceWorkerGlobalScope;

const CACHE = "dropbox-web offline";
const OFFLINE = "/offline.html";
const TARGET = "/share-target";

/** Chromium then asks the worker about navigations alone, and requests for data do not wait for it. */
interface RoutableEvent extends ExtendableEvent {
  addRoutes?: (rule: object) => Promise<void>;
}

self.addEventListener("install", (event) => event.waitUntil(prepare(event)));

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const { pathname } = new URL(request.url);
  if (request.mode !== "navigate") return;
  if (request.method === "POST" && pathname === TARGET) event.respondWith(receive(request));
  else if (request.method === "GET" && (pathname === "/" || isBelow(pathname, CLIENT_PREFIXES))) {
    event.respondWith(answerPage(request));
  }
});

async function prepare(event: RoutableEvent): Promise<void> {
  await (await caches.open(CACHE)).add(new Request(OFFLINE, { cache: "reload" }));
  await event.addRoutes?.({ condition: { not: { requestMode: "navigate" } }, source: "network" }).catch(() => {});
  await self.skipWaiting();
}

async function answerPage(request: Request): Promise<Response> {
  try {
    return await fetch(request);
  } catch {
    return (await caches.match(OFFLINE, { cacheName: CACHE })) ?? Response.error();
  }
}

/** Keep the files of a form; the page asks before it uploads them, since any site can send such a form. */
async function receive(request: Request): Promise<Response> {
  try {
    const entries = (await request.formData()).getAll("files");
    const files = entries.filter((entry) => entry instanceof File);
    return Response.redirect(`${TARGET}?id=${await keepShare(files)}`, 303);
  } catch {
    return Response.redirect(`${TARGET}?failed=1`, 303);
  }
}
