// `/sign-in/forgot`: ask for the mail that sets a new password.

import { Anchor, Button, Stack, Text, TextInput } from "@mantine/core";
import { type FormEvent, useState } from "react";
import { Link } from "react-router";
import { client } from "../lib/client.ts";
import { t } from "../lib/i18n.ts";
import { FormError } from "../ui/FormError.tsx";
import { AuthLayout } from "./AuthLayout.tsx";

export default function ForgotPassword() {
  const [email, setEmail] = useState("");
  const [isRunning, setIsRunning] = useState(false);
  const [isSent, setIsSent] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const send = async (event: FormEvent) => {
    event.preventDefault();
    setIsRunning(true);
    setError(null);
    try {
      await client.api.POST("/v1/auth/reset-password/request", { body: { email: email.trim() } });
      setIsSent(true);
    } catch (failure) {
      setError(failure);
    } finally {
      setIsRunning(false);
    }
  };
  const back = (
    <Anchor component={Link} to="/sign-in">
      {t("forgot.back")}
    </Anchor>
  );
  return (
    <AuthLayout title={t("forgot.title")} text={!isSent && t("forgot.text")} footer={back}>
      {isSent ? (
        <Text size="sm" role="status">
          {t("forgot.sent", { email })}
        </Text>
      ) : (
        <form onSubmit={(event) => void send(event)}>
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
            <FormError error={error} />
            <Button type="submit" loading={isRunning}>
              {t("forgot.button")}
            </Button>
          </Stack>
        </form>
      )}
    </AuthLayout>
  );
}
