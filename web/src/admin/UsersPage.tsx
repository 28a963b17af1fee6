// `/admin`: the accounts of the server, and the state of the server.

import { ActionIcon, Badge, Button, Group, Menu, Paper, Stack, Table, Text, TextInput } from "@mantine/core";
import { useDebouncedValue, useMediaQuery } from "@mantine/hooks";
import { keepPreviousData, useInfiniteQuery } from "@tanstack/react-query";
import type { Schemas } from "dropbox-api-client";
import { EllipsisVertical, Search, Users as UsersIcon } from "lucide-react";
import { useState } from "react";
import { Confirmation } from "../account/Confirmation.tsx";
import { useMe } from "../account/useMe.ts";
import { client, queryClient } from "../lib/client.ts";
import { formatDay } from "../lib/format.ts";
import { t } from "../lib/i18n.ts";
import { keys } from "../lib/keys.ts";
import { notifyDone } from "../lib/notify.tsx";
import { ConfirmDialog } from "../ui/ConfirmDialog.tsx";
import { EmptyState } from "../ui/EmptyState.tsx";
import { ErrorState } from "../ui/ErrorState.tsx";
import { NotFound } from "../ui/NotFound.tsx";
import { Page } from "../ui/Page.tsx";
import { QuotaMeter } from "../ui/QuotaMeter.tsx";
import { PageSkeleton, RowSkeletons } from "../ui/Skeletons.tsx";
import { CreateUserDialog } from "./CreateUserDialog.tsx";
import { QuotaDialog } from "./QuotaDialog.tsx";
import { ServerState } from "./ServerState.tsx";
import classes from "./UsersPage.module.css";

export type User = Schemas["ManagedUser"];

const PAGE_SIZE = 100;
const TYPING_MS = 250;

type Change = "disable" | "enable" | "promote" | "demote";

const BODIES = {
  disable: { disabled: true },
  enable: { disabled: false },
  promote: { is_admin: true },
  demote: { is_admin: false },
} as const;

export default function UsersPage() {
  const { data: me } = useMe();
  if (me === undefined) return <PageSkeleton />;
  return me.is_admin ? <Users ownId={me.id} /> : <NotFound />;
}

function Users({ ownId }: { ownId: string }) {
  const [query, setQuery] = useState("");
  const [search] = useDebouncedValue(query.trim(), TYPING_MS);
  const [creates, setCreates] = useState(false);
  const [quotaOf, setQuotaOf] = useState<User | null>(null);
  const [change, setChange] = useState<{ user: User; change: Change } | null>(null);
  const { data, error, refetch, hasNextPage, fetchNextPage, isFetchingNextPage } = useInfiniteQuery({
    queryKey: keys.users(search),
    queryFn: async ({ pageParam }) => {
      const page = pageParam === null ? {} : { cursor: pageParam };
      const params = { query: { limit: PAGE_SIZE, ...(search && { q: search }), ...page } };
      return (await client.api.GET("/v1/admin/users", { params })).data;
    },
    placeholderData: keepPreviousData, // while another text is searched for
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next_cursor,
  });
  const isPhone = useMediaQuery("(max-width: 48em)", false, { getInitialValueInEffect: false });
  const users = data?.pages.flatMap((page) => page.items);
  const apply = async () => {
    if (change === null) return;
    const params = { path: { user_id: change.user.id } };
    await client.api.PATCH("/v1/admin/users/{user_id}", { params, body: BODIES[change.change] });
    notifyDone(t("saved"));
    await queryClient.invalidateQueries({ queryKey: keys.users() });
  };
  return (
    <Confirmation>
      <Page title={t("admin.title")} actions={<Button onClick={() => setCreates(true)}>{t("admin.create")}</Button>}>
        <ServerState />
        <TextInput
          type="search"
          aria-label={t("admin.search")}
          placeholder={t("admin.search")}
          leftSection={<Search size={16} aria-hidden />}
          value={query}
          onChange={(event) => setQuery(event.currentTarget.value)}
          maw={400}
          maxLength={320}
        />
        {error ? (
          <ErrorState error={error} onRetry={refetch} />
        ) : users === undefined ? (
          <RowSkeletons />
        ) : users.length === 0 ? (
          <EmptyState icon={UsersIcon} title={t("admin.none")} text={t("admin.none.text")} />
        ) : (
          <Paper withBorder radius="md">
            <Table.ScrollContainer minWidth={isPhone ? 0 : 640} scrollAreaProps={{ viewportProps: { tabIndex: 0 } }}>
              <Table highlightOnHover className={classes.users ?? ""}>
                <Table.Thead>
                  <Table.Tr>
                    <Table.Th>{t("admin.account")}</Table.Th>
                    <Table.Th>{t("admin.state")}</Table.Th>
                    <Table.Th w={220}>{t("admin.space")}</Table.Th>
                    <Table.Th>{t("admin.since")}</Table.Th>
                    <Table.Th w={60} aria-label={t("admin.actions")} />
                  </Table.Tr>
                </Table.Thead>
                <Table.Tbody>
                  {users.map((user) => (
                    <Table.Tr key={user.id}>
                      <Table.Td>
                        <Stack gap={0}>
                          <Text size="sm" fw={600}>
                            {user.email}
                          </Text>
                          {user.display_name && (
                            <Text size="xs" c="dimmed">
                              {user.display_name}
                            </Text>
                          )}
                        </Stack>
                      </Table.Td>
                      <Table.Td>
                        <UserState user={user} />
                      </Table.Td>
                      <Table.Td>
                        <QuotaMeter account={user} />
                      </Table.Td>
                      <Table.Td>
                        <Text size="sm">{formatDay(user.created_at)}</Text>
                      </Table.Td>
                      <Table.Td>
                        <Menu width={220}>
                          <Menu.Target>
                            <ActionIcon aria-label={t("admin.menu", { email: user.email })}>
                              <EllipsisVertical size={18} aria-hidden />
                            </ActionIcon>
                          </Menu.Target>
                          <Menu.Dropdown>
                            <Menu.Item onClick={() => setQuotaOf(user)}>{t("admin.quota")}</Menu.Item>
                            {user.id !== ownId &&
                              listChanges(user).map((name) => (
                                <Menu.Item key={name} onClick={() => setChange({ user, change: name })}>
                                  {t(`admin.${name}`)}
                                </Menu.Item>
                              ))}
                          </Menu.Dropdown>
                        </Menu>
                      </Table.Td>
                    </Table.Tr>
                  ))}
                </Table.Tbody>
              </Table>
            </Table.ScrollContainer>
          </Paper>
        )}
        {hasNextPage && (
          <Group justify="center">
            <Button variant="default" loading={isFetchingNextPage} onClick={() => void fetchNextPage()}>
              {t("admin.more")}
            </Button>
          </Group>
        )}
        <CreateUserDialog opened={creates} onClose={() => setCreates(false)} />
        <QuotaDialog user={quotaOf} onClose={() => setQuotaOf(null)} />
        <ConfirmDialog
          opened={change !== null}
          title={change === null ? "" : t(`admin.${change.change}`)}
          text={change === null ? "" : t(`admin.${change.change}.text`, { email: change.user.email })}
          action={change === null ? "" : t(`admin.${change.change}`)}
          isDangerous={change?.change === "disable"}
          onClose={() => setChange(null)}
          onConfirm={apply}
        />
      </Page>
    </Confirmation>
  );
}

function listChanges(user: User): Change[] {
  if (user.deleted_at !== null || user.purge_at !== null) return [];
  const able: Change = user.disabled_at === null ? "disable" : "enable";
  return user.kind === "service" ? [able] : [able, user.is_admin ? "demote" : "promote"];
}

function UserState({ user }: { user: User }) {
  const states = [
    user.is_admin && (["admin.is.admin", "brand"] as const),
    user.kind === "service" && (["admin.is.service", "gray"] as const),
    user.purge_at !== null && (["admin.is.leaving", "orange"] as const),
    user.purge_at === null && user.disabled_at !== null && (["admin.is.disabled", "red"] as const),
    user.kind === "person" && user.email_verified_at === null && (["admin.is.unconfirmed", "orange"] as const),
  ].filter((state) => state !== false);
  return (
    <Group gap={4}>
      {states.map(([label, color]) => (
        <Badge key={label} variant="dot" color={color} miw="max-content">
          {t(label)}
        </Badge>
      ))}
    </Group>
  );
}
