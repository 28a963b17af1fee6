// Change the password, or set the first one.

import { Button, PasswordInput, Stack } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { client, queryClient } from "../lib/client.ts";
import { t } from "../lib/i18n.ts";
import { keys } from "../lib/keys.ts";
import { notifyDone } from "../lib/notify.tsx";
import { FormError } from "../ui/FormError.tsx";
import { Section } from "./Section.tsx";
import { useMe } from "./useMe.ts";

export function PasswordForm({ hasPassword }: { hasPassword: boolean }) {
  const { data: me } = useMe();
  const [current, setCurrent] = useState("");
  const [next, setNext] = useState("");
  const change = useMutation({
    mutationFn: () =>
      client.api.PUT("/v1/me/password", {
        body: { new_password: next, ...(hasPassword && { current_password: current }) },
      }),
    onSuccess: () => {
      setCurrent("");
      setNext("");
      notifyDone(t("password.changed"));
      void queryClient.invalidateQueries({ queryKey: keys.all() });
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    change.mutate();
  };
  return (
    <Section title={t("password.title")} text={t("password.text")}>
      <form onSubmit={submit}>
        <input type="text" name="username" autoComplete="username" value={me?.email ?? ""} readOnly hidden />
        <Stack align="flex-start">
          {hasPassword && (
            <PasswordInput
              w="100%"
              label={t("password.current")}
              autoComplete="current-password"
              value={current}
              onChange={(event) => setCurrent(event.currentTarget.value)}
              maxLength={128}
              required
            />
          )}
          <PasswordInput
            w="100%"
            label={t("password.new")}
            description={t("sign-up.password.hint")}
            autoComplete="new-password"
            value={next}
            onChange={(event) => setNext(event.currentTarget.value)}
            minLength={8}
            maxLength={128}
            required
          />
          <FormError error={change.error} />
          <Button type="submit" variant="default" loading={change.isPending}>
            {t("password.button")}
          </Button>
        </Stack>
      </form>
    </Section>
  );
}
