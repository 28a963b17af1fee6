// `/account/tokens`: personal tokens, for programs.

import { Alert, Badge, Button, Checkbox, Code, Group, Modal, Select, Stack, Text, TextInput } from "@mantine/core";
import { useMutation, useQuery } from "@tanstack/react-query";
import type { Schemas } from "dropbox-api-client";
import { KeyRound, TriangleAlert } from "lucide-react";
import { type FormEvent, useState } from "react";
import { client, queryClient } from "../lib/client.ts";
import { formatDay, formatRelative } from "../lib/format.ts";
import { t } from "../lib/i18n.ts";
import { keys } from "../lib/keys.ts";
import { notifyDone } from "../lib/notify.tsx";
import { ConfirmDialog } from "../ui/ConfirmDialog.tsx";
import { CopyButton } from "../ui/CopyButton.tsx";
import { EmptyState } from "../ui/EmptyState.tsx";
import { ErrorState } from "../ui/ErrorState.tsx";
import { FormError } from "../ui/FormError.tsx";
import { RowSkeletons } from "../ui/Skeletons.tsx";
import { AccountPage } from "./AccountPage.tsx";
import { useConfirmation } from "./Confirmation.tsx";
import { Section } from "./Section.tsx";
import { useMe } from "./useMe.ts";

type Token = Schemas["PersonalToken"];
type Scope = Schemas["GrantedScope"];

const SCOPES: readonly Scope[] = ["files:read", "files:write", "share", "processing"];
const DAY_S = 86_400;
const LIFETIMES = [30, 90, 365] as const;

export default function Tokens() {
  return (
    <AccountPage title={t("tokens.title")}>
      <TokenList />
    </AccountPage>
  );
}

function TokenList() {
  const [creates, setCreates] = useState(false);
  const [revoked, setRevoked] = useState<Token | null>(null);
  const [created, setCreated] = useState<string | null>(null);
  const { data, error, refetch } = useQuery({
    queryKey: keys.tokens(),
    queryFn: async () => (await client.api.GET("/v1/me/tokens", { params: { query: { limit: 1000 } } })).data.items,
  });
  const refresh = () => queryClient.invalidateQueries({ queryKey: keys.tokens() });
  const create = <Button onClick={() => setCreates(true)}>{t("tokens.create")}</Button>;
  return (
    <Section title={t("tokens.title")} text={t("tokens.text")} action={data && data.length > 0 && create}>
      {error ? (
        <ErrorState error={error} onRetry={refetch} />
      ) : data === undefined ? (
        <RowSkeletons count={3} />
      ) : data.length === 0 ? (
        <EmptyState icon={KeyRound} title={t("tokens.none")} text={t("tokens.none.text")} action={create} />
      ) : (
        data.map((token) => (
          <Group key={token.id} justify="space-between" wrap="nowrap" align="flex-start">
            <Stack gap={4} miw={0}>
              <Text size="sm" fw={600}>
                {token.name}
              </Text>
              <Group gap={4}>
                {token.scopes.map((scope) => (
                  <Badge key={scope} variant="default">
                    {scope}
                  </Badge>
                ))}
              </Group>
              <Text size="xs" c="dimmed">
                {token.last_used_at
                  ? t("tokens.used", { when: formatRelative(token.last_used_at) })
                  : t("tokens.unused")}
                {" · "}
                {token.expires_at ? t("tokens.expires", { day: formatDay(token.expires_at) }) : t("tokens.forever")}
              </Text>
            </Stack>
            <Button
              variant="default"
              size="xs"
              onClick={() => setRevoked(token)}
              aria-label={t("tokens.revoke.label", { name: token.name })}
            >
              {t("tokens.revoke")}
            </Button>
          </Group>
        ))
      )}
      <Modal opened={creates} onClose={() => setCreates(false)} title={t("tokens.create")}>
        <TokenForm
          onCreated={(token) => {
            setCreates(false);
            setCreated(token);
            void refresh();
          }}
        />
      </Modal>
      <Modal
        opened={created !== null}
        onClose={() => setCreated(null)}
        title={t("tokens.created")}
        closeOnClickOutside={false}
      >
        <Stack>
          <Alert color="orange" icon={<TriangleAlert size={18} aria-hidden />}>
            {t("tokens.once")}
          </Alert>
          <Code block tabIndex={0} style={{ overflowWrap: "anywhere", whiteSpace: "pre-wrap" }}>
            {created}
          </Code>
          <Group justify="space-between">
            <CopyButton text={created ?? ""} label={t("tokens.copy")} />
            <Button onClick={() => setCreated(null)}>{t("done")}</Button>
          </Group>
        </Stack>
      </Modal>
      <ConfirmDialog
        opened={revoked !== null}
        title={t("tokens.revoke")}
        text={t("tokens.revoke.text", { name: revoked?.name ?? "" })}
        action={t("tokens.revoke")}
        onClose={() => setRevoked(null)}
        onConfirm={async () => {
          const params = { path: { token_id: revoked?.id ?? "" } };
          await client.api.DELETE("/v1/me/tokens/{token_id}", { params });
          notifyDone(t("tokens.revoked"));
          await refresh();
        }}
      />
    </Section>
  );
}

function TokenForm({ onCreated }: { onCreated: (token: string) => void }) {
  const { data: me } = useMe();
  const confirm = useConfirmation();
  const [name, setName] = useState("");
  const [scopes, setScopes] = useState<string[]>(["files:read"]);
  const [days, setDays] = useState<string | null>(String(LIFETIMES[1]));
  const create = useMutation({
    mutationFn: () => {
      const expires_in_s = days === null || days === "0" ? null : Number(days) * DAY_S;
      const body = { name: name.trim(), scopes: scopes as Scope[], expires_in_s };
      return confirm(() => client.api.POST("/v1/me/tokens", { body }));
    },
    onSuccess: ({ data }) => onCreated(data.token),
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    create.mutate();
  };
  const offered: readonly Scope[] = me?.is_admin ? [...SCOPES, "admin"] : SCOPES;
  return (
    <form onSubmit={submit}>
      <Stack>
        <TextInput
          label={t("tokens.name")}
          description={t("tokens.name.hint")}
          value={name}
          onChange={(event) => setName(event.currentTarget.value)}
          maxLength={100}
          required
          data-autofocus
        />
        <Checkbox.Group label={t("tokens.scopes")} value={scopes} onChange={setScopes}>
          <Stack gap="sm" mt="xs">
            {offered.map((scope) => (
              <Checkbox key={scope} value={scope} label={t(`scope.${scope}`)} />
            ))}
          </Stack>
        </Checkbox.Group>
        <Select
          label={t("tokens.lifetime")}
          value={days}
          onChange={setDays}
          allowDeselect={false}
          data={[
            ...LIFETIMES.map((count) => ({ value: String(count), label: t("tokens.days", { count }) })),
            { value: "0", label: t("tokens.forever") },
          ]}
        />
        <FormError error={create.error} />
        <Button type="submit" loading={create.isPending} disabled={scopes.length === 0}>
          {t("tokens.create")}
        </Button>
      </Stack>
    </form>
  );
}
