// A sign-in during the 30 days after a deletion was requested: restore the account, or sign out.

import { Button, Group, Stack } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { client, session, signOut } from "../lib/client.ts";
import { formatDay } from "../lib/format.ts";
import { t } from "../lib/i18n.ts";
import { FormError } from "../ui/FormError.tsx";
import { AuthLayout } from "./AuthLayout.tsx";
import { useMe } from "./useMe.ts";

export default function RestoreAccount() {
  const { data: me } = useMe();
  const restore = useMutation({
    mutationFn: async () => {
      await client.api.DELETE("/v1/me/deletion");
      await session.signOut().catch(() => {}); // this sign-in may do nothing but restore
      location.assign("/sign-in");
    },
  });
  const leave = useMutation({ mutationFn: signOut });
  const day = me?.purge_at ? formatDay(me.purge_at) : "";
  return (
    <AuthLayout title={t("restore.title")} text={t("restore.text", { day })}>
      <Stack>
        <FormError error={restore.error ?? leave.error} />
        <Group grow>
          <Button variant="default" loading={leave.isPending} onClick={() => leave.mutate()}>
            {t("sign-out")}
          </Button>
          <Button loading={restore.isPending} onClick={() => restore.mutate()}>
            {t("restore.button")}
          </Button>
        </Group>
      </Stack>
    </AuthLayout>
  );
}
