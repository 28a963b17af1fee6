// The pages of signing in and of the account.

import type { RouteObject } from "react-router";

const load = (page: () => Promise<{ default: React.ComponentType }>) => async () => ({
  Component: (await page()).default,
});

export const publicRoutes: RouteObject[] = [
  { path: "/sign-in", lazy: load(() => import("./SignIn.tsx")) },
  { path: "/sign-in/forgot", lazy: load(() => import("./ForgotPassword.tsx")) },
  { path: "/sign-up", lazy: load(() => import("./SignUp.tsx")) },
  { path: "/welcome", lazy: load(() => import("./Welcome.tsx")) },
];

export const routes: RouteObject[] = [{ path: "/account/profile", lazy: load(() => import("./Profile.tsx")) }];
