import { useEffect } from "react";
import { useSession } from "../lib/client.ts";
import { followChanges } from "./follow.ts";

/** When the page was opened; later, when a session was lost: the page has read nothing after that. */
let begin = 0;

/** Follow the changes of the account as long as the session lasts. */
export function LiveUpdates() {
  const { status } = useSession();
  useEffect(() => {
    if (status !== "signed-in") return;
    const leaving = new AbortController();
    void followChanges(begin, leaving.signal);
    return () => {
      begin = performance.now();
      leaving.abort();
    };
  }, [status]);
  return null;
}
