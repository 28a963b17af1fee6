// The addresses of the app. The server has the same list (`core/client_paths.py`).

/** Of pages without a user. */
const ENTRANCES = ["/sign-in", "/sign-up", "/welcome"];

/** Of pages to which a sign-in may return. */
const PREFIXES = [
  "/files",
  "/recent",
  "/conflict-copies",
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

export const CLIENT_PREFIXES: readonly string[] = [...ENTRANCES, ...PREFIXES];

export function isBelow(path: string, prefixes: readonly string[]): boolean {
  return prefixes.some((prefix) => path === prefix || path.startsWith(`${prefix}/`));
}

/** Return `next` if it is an address inside the app, else the start page. */
export function checkNext(next: string | null): string {
  if (next === null || !/^\/[^/\\]/.test(next)) return "/";
  const url = new URL(next, location.origin);
  return url.origin === location.origin && isBelow(url.pathname, PREFIXES) ? url.pathname + url.search : "/";
}
