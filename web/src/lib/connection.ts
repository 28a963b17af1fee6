// Whether the server answers. The client's requests report it; while it does not answer, the page asks again.

import { onlineManager } from "@tanstack/react-query";
import { useSyncExternalStore } from "react";

export type Connection =
  | "online"
  /** The device has no network. */
  | "offline"
  /** The server does not answer, as while it restarts. */
  | "unreachable";

const PROBE_MS = 2000;

let isReachable = true;
let _timer: ReturnType<typeof setTimeout> | undefined;
const listeners = new Set<() => void>();

/** `fetch` for the client: reports whether the server answers. */
export async function observedFetch(request: Request): Promise<Response> {
  const isOwn = request.url.startsWith(`${location.origin}/`);
  try {
    const answer = await fetch(request);
    if (isOwn) report(!isOfProxy(answer));
    return answer;
  } catch (error) {
    if (isOwn && !request.signal.aborted) report(false);
    throw error;
  }
}

/** Whether a proxy answers instead of the server. The server's own 503 may concern one request. */
function isOfProxy({ status, headers }: Response): boolean {
  return [502, 503, 504].includes(status) && !headers.get("content-type")?.includes("json");
}

export function getConnection(): Connection {
  if (!navigator.onLine) return "offline";
  return isReachable ? "online" : "unreachable";
}

export function subscribeToConnection(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function useConnection(): Connection {
  return useSyncExternalStore(subscribeToConnection, getConnection);
}

/** Let queries wait while the server does not answer, and begin again when it does. */
export function watchConnection(): void {
  addEventListener("online", notify);
  addEventListener("offline", notify);
  onlineManager.setEventListener((setOnline) => subscribeToConnection(() => setOnline(getConnection() === "online")));
}

function report(answered: boolean): void {
  if (!answered) _timer ??= setTimeout(probe, PROBE_MS);
  if (answered === isReachable) return;
  isReachable = answered;
  notify();
}

async function probe(): Promise<void> {
  _timer = undefined;
  await observedFetch(new Request("/readyz")).catch(() => {});
}

function notify(): void {
  for (const listener of [...listeners]) listener();
}
