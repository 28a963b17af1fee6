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
    mutations: { retry: false, networkMode: "always" }, // without a network they fail at once, and a person decides
  },
});

/** Tells the other tabs that this browser signs out on purpose: they show nothing of the user any more. */
const leaving = new BroadcastChannel("dropbox-web sign-out");
leaving.onmessage = () => void leave();

let leaves = false;

/** Whether the page is about to show the sign-in, or another user. */
export function isLeaving(): boolean {
  return leaves;
}

export type Departure =
  /** The user signs out, in this tab or in another one: nothing of the user stays in the browser. */
  | "sign-out"
  /** Another user has signed in; this one may come back. */
  | "other-user";

const farewells: ((departure: Departure) => unknown)[] = [];

/** Call a function before the page of a user is left. */
export function onLeave(callback: (departure: Departure) => unknown): void {
  farewells.push(callback);
}

async function depart(departure: Departure): Promise<void> {
  leaves = true;
  await Promise.allSettled(farewells.map((callback) => callback(departure)));
  queryClient.clear();
}

/** Show the sign-in, and nothing of the user any more. */
export async function leave(): Promise<void> {
  await depart("sign-out");
  location.replace("/sign-in");
}

/** Load a page for the user who has signed in instead of this one. */
export async function followOtherUser(address = location.href): Promise<void> {
  await depart("other-user");
  if (address === location.href) location.reload();
  else location.assign(address);
}

/** End the session in all tabs of this browser. Throws when the server cannot be reached. */
export async function signOut(): Promise<void> {
  leaves = true;
  await session.signOut().catch((error) => {
    leaves = false;
    throw error;
  });
  leaving.postMessage(null);
  await leave();
}
