// What stands between a visitor and the pages: a sign-in.

import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { Navigate, useLocation } from "react-router";
import { session, useSession } from "../lib/client.ts";
import { ErrorState } from "../ui/ErrorState.tsx";
import { PageSkeleton } from "../ui/Skeletons.tsx";

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
  return children;
}
