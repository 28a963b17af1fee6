// What stands between a visitor and the pages: a sign-in, a demanded second factor, an account in deletion.

import { useQuery } from "@tanstack/react-query";
import { isProblem } from "dropbox-api-client";
import { lazy, type ReactNode, Suspense } from "react";
import { Navigate, useLocation } from "react-router";
import { client, session, useSession } from "../lib/client.ts";
import { keys } from "../lib/keys.ts";
import { readReason } from "../lib/problems.ts";
import { ErrorState } from "../ui/ErrorState.tsx";
import { PageSkeleton } from "../ui/Skeletons.tsx";

const RestoreAccount = lazy(() => import("../account/RestoreAccount.tsx"));
const EnrolSecondFactor = lazy(() => import("../account/EnrolSecondFactor.tsx"));

export function RequireAccess({ children }: { children: ReactNode }) {
  const state = useSession();
  const { pathname, search } = useLocation();
  const restored = useQuery({
    queryKey: ["session"],
    queryFn: () => session.restore(),
    enabled: state.status === "unknown",
    staleTime: 0,
  });
  if (state.status === "unknown") {
    return restored.isError ? <ErrorState error={restored.error} onRetry={restored.refetch} /> : <PageSkeleton />;
  }
  // With a user, the session was lost on this page: `LostSession` asks for the password, and the page stays.
  if (state.status === "signed-out" && state.userId === null) {
    const next = pathname === "/" ? "" : `?next=${encodeURIComponent(pathname + search)}`;
    return <Navigate to={`/sign-in${next}`} replace />;
  }
  return (
    <Suspense fallback={<PageSkeleton />}>
      <RequireScopes>{children}</RequireScopes>
    </Suspense>
  );
}

/** Show the page that a sign-in with few rights needs, as soon as the server says so. */
function RequireScopes({ children }: { children: ReactNode }) {
  const { data: missing } = useQuery({
    queryKey: keys.access(),
    queryFn: async () => {
      try {
        await client.api.GET("/v1/events/cursor");
      } catch (error) {
        if (!isProblem(error, "forbidden")) throw error;
        return readReason(error);
      }
      return null;
    },
    staleTime: Number.POSITIVE_INFINITY,
  });
  if (missing === "being-deleted") return <RestoreAccount />;
  if (missing === "second-factor-missing") return <EnrolSecondFactor />;
  return children;
}
