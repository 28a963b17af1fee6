// The pages of the app, collected from its rooms. Each room loads its pages when they are visited.

import { createBrowserRouter, Navigate, type RouteObject } from "react-router";
import { rooms } from "./room.ts";
import { Shell } from "./shell/Shell.tsx";
import { NotFound } from "./ui/NotFound.tsx";
import { RouteError } from "./ui/RouteError.tsx";
import { PageSkeleton } from "./ui/Skeletons.tsx";

/** The page of `/`: the first one of the navigation. */
const start =
  rooms.flatMap((room) => room.navigation ?? []).sort((one, other) => one.order - other.order)[0]?.path ??
  "/account/profile";

const routes: RouteObject[] = [
  {
    ErrorBoundary: RouteError,
    HydrateFallback: PageSkeleton,
    children: [
      ...rooms.flatMap((room) => room.publicRoutes ?? []),
      {
        Component: Shell,
        children: [
          {
            ErrorBoundary: RouteError,
            children: [
              { index: true, element: <Navigate to={start} replace /> },
              ...rooms.flatMap((room) => room.routes ?? []),
              { path: "*", Component: NotFound },
            ],
          },
        ],
      },
    ],
  },
];

export const router = createBrowserRouter(routes);
