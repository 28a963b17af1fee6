// `/account/profile`: the name that others see, and the address.

import { Badge, Button, Group, Stack, Text, TextInput } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { client, queryClient } from "../lib/client.ts";
import { t } from "../lib/i18n.ts";
import { keys } from "../lib/keys.ts";
import { notifyDone } from "../lib/notify.tsx";
import { ErrorState } from "../ui/ErrorState.tsx";
import { FormError } from "../ui/FormError.tsx";
import { RowSkeletons } from "../ui/Skeletons.tsx";
import { AccountPage } from "./AccountPage.tsx";
import { useConfirmation } from "./Confirmation.tsx";
import { Section } from "./Section.tsx";
import { useMe } from "./useMe.ts";
import { useSignInOptions } from "./useSignInOptions.ts";

export default function Profile() {
  const { data: me, error, refetch } = useMe();
  return (
    <AccountPage title={t("profile.title")}>
      {me ? (
        <>
          <Section title={t("profile.title")}>
            <NameForm name={me.display_name} />
          </Section>
          <Section title={t("address.title")} text={t("address.text")}>
            <Group gap="sm">
              <Text fw={600}>{me.email}</Text>
              <Badge variant="dot" color={me.email_verified_at ? "teal" : "orange"}>
                {t(me.email_verified_at ? "address.confirmed" : "address.unconfirmed")}
              </Badge>
            </Group>
            <AddressForm />
          </Section>
        </>
      ) : error ? (
        <ErrorState error={error} onRetry={refetch} />
      ) : (
        <RowSkeletons count={4} />
      )}
    </AccountPage>
  );
}

function NameForm({ name: saved }: { name: string | null }) {
  const [name, setName] = useState(saved ?? "");
  const save = useMutation({
    mutationFn: async () => (await client.api.PATCH("/v1/me", { body: { display_name: name.trim() || null } })).data,
    onSuccess: (me) => {
      queryClient.setQueryData(keys.me(), me);
      notifyDone(t("saved"));
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    save.mutate();
  };
  return (
    <form onSubmit={submit}>
      <Stack align="flex-start">
        <TextInput
          w="100%"
          label={t("profile.name")}
          description={t("profile.name.hint")}
          name="name"
          autoComplete="name"
          value={name}
          onChange={(event) => setName(event.currentTarget.value)}
          maxLength={100}
        />
        <FormError error={save.error} />
        <Button type="submit" loading={save.isPending}>
          {t("save")}
        </Button>
      </Stack>
    </form>
  );
}

function AddressForm() {
  const confirm = useConfirmation();
  const { data: options } = useSignInOptions();
  const [email, setEmail] = useState("");
  const change = useMutation({
    mutationFn: () => confirm(() => client.api.POST("/v1/me/email", { body: { email: email.trim() } })),
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    change.mutate();
  };
  if (options?.sends_mail === false) return <Text size="sm">{t("address.no-mail")}</Text>;
  if (change.isSuccess) {
    return (
      <Text size="sm" role="status">
        {t("address.sent", { email })}
      </Text>
    );
  }
  return (
    <form onSubmit={submit}>
      <Stack align="flex-start">
        <TextInput
          w="100%"
          label={t("address.new")}
          type="email"
          name="email"
          autoComplete="email"
          value={email}
          onChange={(event) => setEmail(event.currentTarget.value)}
          required
        />
        <FormError error={change.error} />
        <Button type="submit" variant="default" loading={change.isPending}>
          {t("address.button")}
        </Button>
      </Stack>
    </form>
  );
}
