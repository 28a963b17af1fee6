// `/sign-up`: create an account, and sign in with it.

import { Anchor, Button, PasswordInput, Stack, Text, TextInput } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { Link, useNavigate } from "react-router";
import { client, queryClient, session } from "../lib/client.ts";
import { t } from "../lib/i18n.ts";
import { readReason } from "../lib/problems.ts";
import { FormError } from "../ui/FormError.tsx";
import { AuthLayout } from "./AuthLayout.tsx";
import { OPTIONS_KEY, useSignInOptions } from "./useSignInOptions.ts";

export default function SignUp() {
  const navigate = useNavigate();
  const { data: options } = useSignInOptions();
  const [email, setEmail] = useState("");
  const [password, setPassword] = useState("");
  const register = useMutation({
    mutationFn: async () => {
      await client.api.POST("/v1/auth/register", { body: { email: email.trim(), password } });
      await session.signIn(email.trim(), password);
      queryClient.setQueryData(OPTIONS_KEY, options && { ...options, has_accounts: true });
      await navigate("/", { replace: true });
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    register.mutate();
  };
  if (readReason(register.error) === "address-not-verified") {
    return (
      <AuthLayout title={t("sign-up.verify.title")} text={t("sign-up.verify.text", { email })}>
        <Button component={Link} to="/sign-in" variant="default">
          {t("forgot.back")}
        </Button>
      </AuthLayout>
    );
  }
  const footer = (
    <>
      {t("sign-up.have")}{" "}
      <Anchor component={Link} to="/sign-in" underline="always">
        {t("sign-in.button")}
      </Anchor>
    </>
  );
  return (
    <AuthLayout title={t("sign-up.title")} footer={footer}>
      {options?.registration === false ? (
        <Text size="sm">{t("sign-up.closed")}</Text>
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
            <PasswordInput
              label={t("sign-in.password")}
              description={t("sign-up.password.hint")}
              name="new-password"
              autoComplete="new-password"
              value={password}
              onChange={(event) => setPassword(event.currentTarget.value)}
              minLength={8}
              maxLength={128}
              required
            />
            <FormError error={register.error} />
            <Button type="submit" loading={register.isPending}>
              {t("sign-up.button")}
            </Button>
          </Stack>
        </form>
      )}
    </AuthLayout>
  );
}
