// The banner of an account whose address is not confirmed yet.

import { Alert, Button, Group, Text } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { MailCheck } from "lucide-react";
import { client } from "../lib/client.ts";
import { t } from "../lib/i18n.ts";
import { notifyDone, notifyError } from "../lib/notify.tsx";
import { useMe } from "./useMe.ts";
import { useSignInOptions } from "./useSignInOptions.ts";

export function ConfirmAddress() {
  const { data: me } = useMe();
  const { data: options } = useSignInOptions();
  const send = useMutation({
    mutationFn: () => client.api.POST("/v1/auth/verify-email/request"),
    onSuccess: () => notifyDone(t("confirm-address.sent")),
    onError: (error) => notifyError(error),
  });
  if (me === undefined || me.email_verified_at !== null || !options?.sends_mail) return null;
  return (
    <Alert
      color="brand"
      radius={0}
      icon={<MailCheck size={18} aria-hidden />}
      title={t("confirm-address.title")}
      role="region"
      aria-label={t("confirm-address.title")}
    >
      <Group justify="space-between" gap="sm">
        <Text size="sm" flex="1 1 320px">
          {t("confirm-address.text", { email: me.email })}
        </Text>
        <Button variant="default" size="xs" loading={send.isPending} onClick={() => send.mutate()}>
          {t("confirm-address.again")}
        </Button>
      </Group>
    </Alert>
  );
}
