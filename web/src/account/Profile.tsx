// `/account/profile`: the name that others see.

import { Button, Stack, TextInput } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { client, queryClient } from "../lib/client.ts";
import { t } from "../lib/i18n.ts";
import { keys } from "../lib/keys.ts";
import { notifyDone } from "../lib/notify.tsx";
import { ErrorState } from "../ui/ErrorState.tsx";
import { FormError } from "../ui/FormError.tsx";
import { Page } from "../ui/Page.tsx";
import { RowSkeletons } from "../ui/Skeletons.tsx";
import { useMe } from "./useMe.ts";

export default function Profile() {
  const { data: me, error, refetch } = useMe();
  return (
    <Page title={t("profile.title")} width={640}>
      {error ? (
        <ErrorState error={error} onRetry={refetch} />
      ) : me ? (
        <NameForm name={me.display_name} />
      ) : (
        <RowSkeletons count={3} />
      )}
    </Page>
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
        <Button type="submit" loading={save.isPending} disabled={name.trim() === (saved ?? "")}>
          {t("save")}
        </Button>
      </Stack>
    </form>
  );
}
