// The pages of signing in and of the account.

import { Navigate, type RouteObject } from "react-router";

const load = (page: () => Promise<{ default: React.ComponentType }>) => async () => ({
  Component: (await page()).default,
});

export const publicRoutes: RouteObject[] = [
  { path: "/sign-in", lazy: load(() => import("./SignIn.tsx")) },
  { path: "/sign-in/forgot", lazy: load(() => import("./ForgotPassword.tsx")) },
  { path: "/sign-up", lazy: load(() => import("./SignUp.tsx")) },
  { path: "/welcome", lazy: load(() => import("./Welcome.tsx")) },
];

export const routes: RouteObject[] = [
  { path: "/account", element: <Navigate to="/account/profile" replace /> },
  { path: "/account/profile", lazy: load(() => import("./Profile.tsx")) },
  { path: "/account/security", lazy: load(() => import("./Security.tsx")) },
  { path: "/account/sessions", lazy: load(() => import("./Sessions.tsx")) },
  { path: "/account/tokens", lazy: load(() => import("./Tokens.tsx")) },
  { path: "/account/deletion", lazy: load(() => import("./Deletion.tsx")) },
];
