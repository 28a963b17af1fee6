// The session ended while a page is open: sign in again over the page, which stays as it is.

import { Button, Modal, Stack, Text } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { lazy, Suspense } from "react";
import { useLocation } from "react-router";
import { followOtherUser, isLeaving, queryClient, useSession } from "../lib/client.ts";
import { t } from "../lib/i18n.ts";
import { keys } from "../lib/keys.ts";
import { RowSkeletons } from "../ui/Skeletons.tsx";

const SignInForm = lazy(async () => ({ default: (await import("./SignInForm.tsx")).SignInForm }));

export function LostSession() {
  const state = useSession();
  const { pathname, search } = useLocation();
  const me = useQueryClient().getQueryData<{ email: string }>(keys.me());
  if (state.status !== "signed-out" || state.userId === null || isLeaving()) return null;
  const lost = state.userId;
  const continueAs = (userId: string) => {
    if (userId === lost) void queryClient.invalidateQueries();
    else void followOtherUser(); // the page shows the files of another user
  };
  return (
    <Modal
      opened
      onClose={() => {}}
      withCloseButton={false}
      closeOnEscape={false}
      closeOnClickOutside={false}
      title={t("lost.title")}
    >
      <Stack>
        <Text size="sm">{t("lost.text")}</Text>
        <Suspense fallback={<RowSkeletons count={4} />}>
          <SignInForm
            {...(me && { email: me.email })}
            returnPath={`/sign-in?next=${encodeURIComponent(pathname + search)}`}
            onSignedIn={continueAs}
          />
        </Suspense>
        <Button variant="subtle" onClick={() => void followOtherUser("/sign-in")}>
          {t("lost.other")}
        </Button>
      </Stack>
    </Modal>
  );
}
