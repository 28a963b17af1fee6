// The app: its providers, and the session of the last visit.

import "./ui/mantine.css";
import "@mantine/notifications/styles.css";
import "./ui/base.css";
import { DirectionProvider, MantineProvider } from "@mantine/core";
import { Notifications } from "@mantine/notifications";
import { QueryClientProvider } from "@tanstack/react-query";
import { setNonce } from "get-nonce";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { RouterProvider } from "react-router/dom";
import { followOtherUser, queryClient, session } from "./lib/client.ts";
import { registerWorker } from "./pwa/register.ts";
import { router } from "./routes.tsx";
import { cssVariables, makeTheme } from "./ui/theme.ts";

/** For style elements that components make: the policy of the page demands it. */
const nonce = document.querySelector<HTMLMetaElement>("meta[property=csp-nonce]")?.nonce ?? "";
setNonce(nonce);

session.subscribe(() => {
  // Another tab has signed in as another user, who may see nothing of this page.
  if (session.state.status === "replaced") void followOtherUser();
});

/** A file that is dropped beside a list would replace the page, and end its uploads. */
function refuseFiles(event: DragEvent): void {
  if (event.defaultPrevented || !event.dataTransfer?.types.includes("Files")) return;
  event.preventDefault();
  event.dataTransfer.dropEffect = "none";
}
document.addEventListener("dragover", refuseFiles);
document.addEventListener("drop", refuseFiles);

async function start(): Promise<void> {
  if (navigator.language === "ar-XB") (await import("./lib/pseudo.ts")).showPseudoLanguage();
  const root = document.getElementById("root");
  if (root === null) throw new Error("the page has no root");
  createRoot(root).render(
    <StrictMode>
      <DirectionProvider>
        <MantineProvider
          theme={makeTheme()}
          defaultColorScheme="auto"
          cssVariablesResolver={cssVariables}
          getStyleNonce={() => nonce}
          deduplicateInlineStyles
        >
          <QueryClientProvider client={queryClient}>
            <Notifications position={document.dir === "rtl" ? "bottom-right" : "bottom-left"} limit={4} />
            <RouterProvider router={router} />
          </QueryClientProvider>
        </MantineProvider>
      </DirectionProvider>
    </StrictMode>,
  );
}

void start();
registerWorker();
