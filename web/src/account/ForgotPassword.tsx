// `/sign-in/forgot`: ask for the mail that sets a new password.

import { Anchor, Button, Stack, Text, TextInput } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { Link } from "react-router";
import { client } from "../lib/client.ts";
import { t } from "../lib/i18n.ts";
import { FormError } from "../ui/FormError.tsx";
import { AuthLayout } from "./AuthLayout.tsx";

export default function ForgotPassword() {
  const [email, setEmail] = useState("");
  const send = useMutation({
    mutationFn: () => client.api.POST("/v1/auth/reset-password/request", { body: { email: email.trim() } }),
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    send.mutate();
  };
  const back = (
    <Anchor component={Link} to="/sign-in">
      {t("forgot.back")}
    </Anchor>
  );
  return (
    <AuthLayout title={t("forgot.title")} text={!send.isSuccess && t("forgot.text")} footer={back}>
      {send.isSuccess ? (
        <Text size="sm" role="status">
          {t("forgot.sent", { email })}
        </Text>
      ) : (
        <form onSubmit={submit}>
          <Stack>
            <TextInput
              label={t("sign-in.email")}
              type="email"
              name="email"
              autoComplete="username"
              value={email}
              onChange={(event) => setEmail(event.currentTarget.value)}
              required
              autoFocus
            />
            <FormError error={send.error} />
            <Button type="submit" loading={send.isPending}>
              {t("forgot.button")}
            </Button>
          </Stack>
        </form>
      )}
    </AuthLayout>
  );
}
