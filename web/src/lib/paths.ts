// The addresses of the app to which a sign-in may return. The server checks the same list (`core/client_paths.py`).

const PREFIXES = [
  "/files",
  "/recent",
  "/shared",
  "/links",
  "/trash",
  "/search",
  "/activity",
  "/storage",
  "/account",
  "/admin",
  "/share-target",
];

/** Return `next` if it is an address inside the app, else the start page. */
export function checkNext(next: string | null): string {
  if (next === null || !/^\/[^/\\]/.test(next)) return "/";
  const url = new URL(next, location.origin);
  const isInside = PREFIXES.some((prefix) => url.pathname === prefix || url.pathname.startsWith(`${prefix}/`));
  return url.origin === location.origin && isInside ? url.pathname + url.search : "/";
}
