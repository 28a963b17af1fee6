// The passkeys of the account: add, rename, remove; passkeys only.

import { ActionIcon, Button, Group, Menu, Modal, Stack, Switch, Text, TextInput } from "@mantine/core";
import { useMutation, useQuery } from "@tanstack/react-query";
import { EllipsisVertical, KeyRound } from "lucide-react";
import { type FormEvent, useState } from "react";
import { client, queryClient } from "../lib/client.ts";
import { formatDay, formatRelative } from "../lib/format.ts";
import { t } from "../lib/i18n.ts";
import { keys } from "../lib/keys.ts";
import { notifyDone, notifyError } from "../lib/notify.tsx";
import { ConfirmDialog } from "../ui/ConfirmDialog.tsx";
import { ErrorState } from "../ui/ErrorState.tsx";
import { FormError } from "../ui/FormError.tsx";
import { RowSkeletons } from "../ui/Skeletons.tsx";
import { useConfirmation } from "./Confirmation.tsx";
import { createPasskey } from "./createPasskey.ts";
import { RecoveryCodes } from "./RecoveryCodes.tsx";
import { Section } from "./Section.tsx";
import { useMe } from "./useMe.ts";
import { useSignInOptions } from "./useSignInOptions.ts";

interface Passkey {
  id: string;
  name: string;
  created_at: string;
  last_used_at: string | null;
}

const refresh = () => queryClient.invalidateQueries({ queryKey: keys.all() });

export function Passkeys() {
  const { data: options } = useSignInOptions();
  const { data: me } = useMe();
  const confirm = useConfirmation();
  const [adds, setAdds] = useState(false);
  const [renamed, setRenamed] = useState<Passkey | null>(null);
  const [removed, setRemoved] = useState<Passkey | null>(null);
  const [codes, setCodes] = useState<readonly string[]>([]);
  const { data, error, refetch } = useQuery({
    queryKey: keys.passkeys(),
    queryFn: async () => (await client.api.GET("/v1/me/passkeys")).data.items,
  });
  const setOnly = useMutation({
    mutationFn: (enabled: boolean) => confirm(() => client.api.PUT("/v1/me/passkeys-only", { body: { enabled } })),
    onSuccess: refresh,
    onError: (failure) => notifyError(failure),
  });
  const canAdd = options?.passkeys === true && window.PublicKeyCredential !== undefined;
  const add = async (name: string) => {
    const passkey = await createPasskey(name, confirm);
    setAdds(false);
    setCodes(passkey.recovery_codes);
    notifyDone(t("passkeys.added"));
    await refresh();
  };
  return (
    <Section
      title={t("passkeys.title")}
      text={t(canAdd ? "passkeys.text" : "passkeys.unavailable")}
      action={
        canAdd && (
          <Button variant="default" onClick={() => setAdds(true)}>
            {t("passkeys.add")}
          </Button>
        )
      }
    >
      {error ? (
        <ErrorState error={error} onRetry={refetch} />
      ) : data === undefined ? (
        <RowSkeletons count={1} />
      ) : (
        data.map((passkey) => (
          <Group key={passkey.id} justify="space-between" wrap="nowrap">
            <Group gap="md" wrap="nowrap" miw={0}>
              <KeyRound size={20} aria-hidden />
              <Stack gap={0} miw={0}>
                <Text size="sm" fw={600} truncate>
                  {passkey.name}
                </Text>
                <Text size="xs" c="dimmed">
                  {passkey.last_used_at
                    ? t("passkeys.used", { when: formatRelative(passkey.last_used_at) })
                    : t("passkeys.made", { day: formatDay(passkey.created_at) })}
                </Text>
              </Stack>
            </Group>
            <Menu width={180}>
              <Menu.Target>
                <ActionIcon aria-label={t("passkeys.menu", { name: passkey.name })}>
                  <EllipsisVertical size={18} aria-hidden />
                </ActionIcon>
              </Menu.Target>
              <Menu.Dropdown>
                <Menu.Item onClick={() => setRenamed(passkey)}>{t("passkeys.rename")}</Menu.Item>
                <Menu.Item c="var(--mantine-color-error)" onClick={() => setRemoved(passkey)}>
                  {t("passkeys.remove")}
                </Menu.Item>
              </Menu.Dropdown>
            </Menu>
          </Group>
        ))
      )}
      {data !== undefined && data.length > 0 && (
        <Switch
          label={t("passkeys.only")}
          description={t("passkeys.only.text")}
          checked={me?.passkeys_only === true}
          onChange={(event) => setOnly.mutate(event.currentTarget.checked)}
        />
      )}
      <Modal opened={adds} onClose={() => setAdds(false)} title={t("passkeys.add")}>
        <NameForm
          label={t("passkeys.name")}
          hint={t("passkeys.name.hint")}
          action={t("passkeys.continue")}
          onName={add}
        />
      </Modal>
      <Modal opened={renamed !== null} onClose={() => setRenamed(null)} title={t("passkeys.rename")}>
        {renamed && (
          <NameForm
            label={t("passkeys.name")}
            initial={renamed.name}
            action={t("save")}
            onName={async (name) => {
              const params = { path: { passkey_id: renamed.id } };
              await client.api.PATCH("/v1/me/passkeys/{passkey_id}", { params, body: { name } });
              setRenamed(null);
              await refresh();
            }}
          />
        )}
      </Modal>
      <ConfirmDialog
        opened={removed !== null}
        title={t("passkeys.remove")}
        text={t("passkeys.remove.text", { name: removed?.name ?? "" })}
        action={t("passkeys.remove")}
        onClose={() => setRemoved(null)}
        onConfirm={async () => {
          const params = { path: { passkey_id: removed?.id ?? "" } };
          await confirm(() => client.api.DELETE("/v1/me/passkeys/{passkey_id}", { params }));
          await refresh();
        }}
      />
      <RecoveryCodes codes={codes} onClose={() => setCodes([])} />
    </Section>
  );
}

interface NameFormProps {
  label: string;
  hint?: string;
  initial?: string;
  action: string;
  onName: (name: string) => Promise<unknown>;
}

export function NameForm({ label, hint, initial = "", action, onName }: NameFormProps) {
  const [name, setName] = useState(initial);
  const save = useMutation({ mutationFn: onName });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    save.mutate(name.trim());
  };
  return (
    <form onSubmit={submit}>
      <Stack>
        <TextInput
          label={label}
          description={hint}
          value={name}
          onChange={(event) => setName(event.currentTarget.value)}
          maxLength={100}
          required
          data-autofocus
        />
        <FormError error={save.error} />
        <Button type="submit" loading={save.isPending}>
          {action}
        </Button>
      </Stack>
    </form>
  );
}
