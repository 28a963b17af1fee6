// `/account/deletion`: what a deletion of the account takes, and the request for it.

import { Button, List, Text, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { client, leave } from "../lib/client.ts";
import { formatBytes } from "../lib/format.ts";
import { t } from "../lib/i18n.ts";
import { keys } from "../lib/keys.ts";
import { ConfirmDialog } from "../ui/ConfirmDialog.tsx";
import { ErrorState } from "../ui/ErrorState.tsx";
import { RowSkeletons } from "../ui/Skeletons.tsx";
import { AccountPage } from "./AccountPage.tsx";
import { useConfirmation } from "./Confirmation.tsx";
import { Section } from "./Section.tsx";
import { useMe } from "./useMe.ts";

export default function Deletion() {
  return (
    <AccountPage title={t("deletion.title")}>
      <DeletionSection />
    </AccountPage>
  );
}

function DeletionSection() {
  const confirm = useConfirmation();
  const { data: me } = useMe();
  const [asks, setAsks] = useState(false);
  const [typed, setTyped] = useState("");
  const { data, error, refetch } = useQuery({
    queryKey: keys.deletion(),
    queryFn: async () => (await client.api.GET("/v1/me/deletion")).data,
    staleTime: 0,
  });
  const request = async () => {
    if (typed.trim().toLowerCase() !== me?.email) throw t("deletion.mistyped");
    await confirm(() => client.api.POST("/v1/me/deletion", { body: {} }));
    await leave();
  };
  return (
    <Section title={t("deletion.title")} text={t("deletion.text")}>
      {error ? (
        <ErrorState error={error} onRetry={refetch} />
      ) : data === undefined ? (
        <RowSkeletons count={4} />
      ) : (
        <>
          <List size="sm" spacing="xs">
            <List.Item>{t("deletion.files", { count: data.nodes, size: formatBytes(data.used_bytes) })}</List.Item>
            <List.Item>{t("deletion.grants", { items: data.shared_items, people: data.grantees })}</List.Item>
            <List.Item>{t("deletion.links", { count: data.links })}</List.Item>
            <List.Item>{t("deletion.hooks", { count: data.webhooks })}</List.Item>
          </List>
          <div>
            <Button color="red.8" onClick={() => setAsks(true)}>
              {t("deletion.button")}
            </Button>
          </div>
        </>
      )}
      <ConfirmDialog
        opened={asks}
        title={t("deletion.ask")}
        text={
          <>
            <Text size="sm" mb="md">
              {t("deletion.ask.text")}
            </Text>
            <TextInput
              label={t("deletion.type", { email: me?.email ?? "" })}
              value={typed}
              onChange={(event) => setTyped(event.currentTarget.value)}
              autoComplete="off"
            />
          </>
        }
        action={t("deletion.button")}
        onClose={() => setAsks(false)}
        onConfirm={request}
      />
    </Section>
  );
}
