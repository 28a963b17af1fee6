// The service worker of the app. Browsers have it on https and on localhost.

/** Install the worker, or its new version. A browser that refuses storage has none, and the app works without it. */
export function registerWorker(): void {
  if (import.meta.env.PROD) navigator.serviceWorker?.register("/sw.js").catch(() => {});
}
