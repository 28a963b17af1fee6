// The client of the server, the session of this browser, and the cache of what the server said.

import { QueryClient } from "@tanstack/react-query";
import { cookieSession, createClient, isRetryable } from "dropbox-api-client";
import { useSyncExternalStore } from "react";
import { observedFetch, watchConnection } from "./connection.ts";

export const client = createClient({ auth: cookieSession(), fetch: observedFetch });
export const session = client.auth;

/** The user whose data the page shows; the one that was signed in last while the session is lost. */
export function currentUserId(): string | null {
  return "userId" in session.state ? session.state.userId : null;
}

export function useSession() {
  return useSyncExternalStore(
    (listener) => session.subscribe(listener),
    () => session.state,
  );
}

watchConnection();

const RETRIES = 3;

export const queryClient = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 15_000,
      retry: (failures, error) => failures < RETRIES && isRetryable(error),
    },
    mutations: { retry: false },
  },
});

/** Tells the other tabs that this browser signs out on purpose: they show nothing of the user any more. */
const leaving = new BroadcastChannel("dropbox-web sign-out");
leaving.onmessage = () => leave();

let leaves = false;

/** Whether the page is about to show the sign-in. */
export function isLeaving(): boolean {
  return leaves;
}

/** Show the sign-in, and nothing of the user any more. */
export function leave() {
  leaves = true;
  queryClient.clear();
  location.replace("/sign-in");
}

const farewells: (() => unknown)[] = [];

/** Call a function when the person signs out in this tab, before the page is left. */
export function onSignOut(callback: () => unknown): void {
  farewells.push(callback);
}

/** End the session in all tabs of this browser. Throws when the server cannot be reached. */
export async function signOut(): Promise<void> {
  leaves = true;
  await session.signOut().catch((error) => {
    leaves = false;
    throw error;
  });
  await Promise.allSettled(farewells.map((callback) => callback()));
  leaving.postMessage(null);
  leave();
}
