// Create an account; the person sets the password by mail where none is given.

import { Button, Modal, PasswordInput, Stack, TextInput } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { client, queryClient } from "../lib/client.ts";
import { t } from "../lib/i18n.ts";
import { keys } from "../lib/keys.ts";
import { notifyDone } from "../lib/notify.tsx";
import { FormError } from "../ui/FormError.tsx";

export function CreateUserDialog({ opened, onClose }: { opened: boolean; onClose: () => void }) {
  const [email, setEmail] = useState("");
  const [password, setPassword] = useState("");
  const create = useMutation({
    mutationFn: () =>
      client.api.POST("/v1/admin/users", { body: { email: email.trim(), ...(password && { password }) } }),
    onSuccess: () => {
      notifyDone(t("admin.created", { email: email.trim() }));
      setEmail("");
      setPassword("");
      onClose();
      void queryClient.invalidateQueries({ queryKey: keys.users() });
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    create.mutate();
  };
  return (
    <Modal opened={opened} onClose={onClose} title={t("admin.create")}>
      <form onSubmit={submit}>
        <Stack>
          <TextInput
            label={t("sign-in.email")}
            type="email"
            autoComplete="off"
            value={email}
            onChange={(event) => setEmail(event.currentTarget.value)}
            required
            data-autofocus
          />
          <PasswordInput
            label={t("admin.password")}
            description={t("admin.password.hint")}
            autoComplete="new-password"
            value={password}
            onChange={(event) => setPassword(event.currentTarget.value)}
            minLength={8}
            maxLength={128}
          />
          <FormError error={create.error} />
          <Button type="submit" loading={create.isPending}>
            {t("admin.create")}
          </Button>
        </Stack>
      </form>
    </Modal>
  );
}
