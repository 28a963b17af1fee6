// `/account/sessions`: where the account is signed in, and the devices that synchronise.

import { Anchor, Badge, Button, Group, Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import type { Schemas } from "dropbox-api-client";
import { HardDrive, Laptop, Smartphone, SquareTerminal } from "lucide-react";
import { useState } from "react";
import { Link } from "react-router";
import { client, queryClient } from "../lib/client.ts";
import { formatRelative } from "../lib/format.ts";
import { t } from "../lib/i18n.ts";
import { keys } from "../lib/keys.ts";
import { notifyDone, notifyError } from "../lib/notify.tsx";
import { ConfirmDialog } from "../ui/ConfirmDialog.tsx";
import { EmptyState } from "../ui/EmptyState.tsx";
import { ErrorState } from "../ui/ErrorState.tsx";
import { RowSkeletons } from "../ui/Skeletons.tsx";
import { AccountPage } from "./AccountPage.tsx";
import { describeAgent } from "./describeAgent.ts";
import { Section } from "./Section.tsx";

const ICONS = { computer: Laptop, phone: Smartphone, program: SquareTerminal };

export default function Sessions() {
  return (
    <AccountPage title={t("sessions.title")}>
      <SignIns />
      <Devices />
    </AccountPage>
  );
}

function SignIns() {
  const [endsOthers, setEndsOthers] = useState(false);
  const { data, error, refetch } = useQuery({
    queryKey: keys.sessions(),
    queryFn: async () => (await client.api.GET("/v1/me/sessions", { params: { query: { limit: 1000 } } })).data.items,
  });
  const refresh = () => queryClient.invalidateQueries({ queryKey: keys.sessions() });
  const end = async (session_id: string) => {
    try {
      await client.api.DELETE("/v1/me/sessions/{session_id}", { params: { path: { session_id } } });
      notifyDone(t("sessions.ended"));
    } catch (failure) {
      notifyError(failure);
    }
    await refresh();
  };
  const others = data?.filter((session) => !session.is_current) ?? [];
  return (
    <Section
      title={t("sessions.list")}
      text={t("sessions.text")}
      action={
        others.length > 0 && (
          <Button variant="default" onClick={() => setEndsOthers(true)}>
            {t("sessions.end-others")}
          </Button>
        )
      }
    >
      {error ? (
        <ErrorState error={error} onRetry={refetch} />
      ) : data === undefined ? (
        <RowSkeletons count={3} />
      ) : (
        data.map((session) => {
          const agent = describeAgent(session.user_agent);
          const Icon = ICONS[agent.kind];
          return (
            <Group key={session.id} justify="space-between" wrap="nowrap">
              <Group gap="md" wrap="nowrap" miw={0}>
                <Icon size={20} aria-hidden />
                <Stack gap={0} miw={0}>
                  <Group gap="sm">
                    <Text size="sm" fw={600}>
                      {agent.name}
                    </Text>
                    {session.is_current && (
                      <Badge variant="dot" color="teal">
                        {t("sessions.current")}
                      </Badge>
                    )}
                  </Group>
                  <Text size="xs" c="dimmed">
                    {t("sessions.used", {
                      when: formatRelative(session.last_used_at),
                      address: session.address ?? "?",
                    })}
                  </Text>
                </Stack>
              </Group>
              {!session.is_current && (
                <Button
                  variant="default"
                  size="xs"
                  onClick={() => void end(session.id)}
                  aria-label={t("sessions.end.label", { name: agent.name })}
                >
                  {t("sessions.end")}
                </Button>
              )}
            </Group>
          );
        })
      )}
      <ConfirmDialog
        opened={endsOthers}
        title={t("sessions.end-others")}
        text={t("sessions.end-others.text", { count: others.length })}
        action={t("sessions.end-others")}
        onClose={() => setEndsOthers(false)}
        onConfirm={async () => {
          await client.api.DELETE("/v1/me/sessions");
          await refresh();
        }}
      />
    </Section>
  );
}

function Devices() {
  const [removed, setRemoved] = useState<Schemas["Device"] | null>(null);
  const { data, error, refetch } = useQuery({
    queryKey: keys.devices(),
    queryFn: async () => (await client.api.GET("/v1/me/devices")).data.items,
    refetchInterval: 5000, // reports cause no events
  });
  return (
    <Section title={t("devices.title")} text={t("devices.text")}>
      {error ? (
        <ErrorState error={error} onRetry={refetch} />
      ) : data === undefined ? (
        <RowSkeletons count={2} />
      ) : data.length === 0 ? (
        <EmptyState icon={HardDrive} title={t("devices.none")} text={t("devices.none.text")} />
      ) : (
        data.map((device) => (
          <Group key={device.id} justify="space-between" wrap="nowrap">
            <Group gap="md" wrap="nowrap" miw={0}>
              <HardDrive size={20} aria-hidden style={{ flexShrink: 0 }} />
              <Stack gap={0} miw={0}>
                <Text size="sm" fw={600} truncate title={device.name}>
                  {device.name}
                </Text>
                <Text size="xs" c="dimmed">
                  {t("devices.seen", { when: formatRelative(device.last_seen_at) })}
                </Text>
                <Text size="xs" c="dimmed">
                  {t("devices.pending", { count: device.pending })}
                  {" · "}
                  {device.behind === null ? t("devices.unread") : t("devices.behind", { count: device.behind })}
                </Text>
              </Stack>
            </Group>
            <Button
              variant="default"
              size="xs"
              flex="none"
              onClick={() => setRemoved(device)}
              aria-label={t("devices.remove.label", { name: device.name })}
            >
              {t("devices.remove")}
            </Button>
          </Group>
        ))
      )}
      <ConfirmDialog
        opened={removed !== null}
        title={t("devices.remove.title")}
        text={
          <>
            {t("devices.remove.text", { name: removed?.name ?? "" })}{" "}
            <Anchor component={Link} to="/account/tokens" inherit underline="always">
              {t("devices.tokens")}
            </Anchor>
          </>
        }
        action={t("devices.remove")}
        onClose={() => setRemoved(null)}
        onConfirm={async () => {
          const params = { path: { device_id: removed?.id ?? "" } };
          await client.api.DELETE("/v1/me/devices/{device_id}", { params });
          notifyDone(t("devices.removed"));
          await queryClient.invalidateQueries({ queryKey: keys.devices() });
        }}
      />
    </Section>
  );
}
