// `/welcome`: the first visit of a server without accounts; how its first user becomes administrator.

import { Button, Code, Group, Stack, Text, Title } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { Link } from "react-router";
import { t } from "../lib/i18n.ts";
import { keys } from "../lib/keys.ts";
import { CopyButton } from "../ui/CopyButton.tsx";
import { PageSkeleton } from "../ui/Skeletons.tsx";
import { AuthLayout } from "./AuthLayout.tsx";
import { useSignInOptions } from "./useSignInOptions.ts";

export default function Welcome() {
  const { data: options } = useSignInOptions();
  if (options === undefined) return <PageSkeleton />;
  return (
    <AuthLayout title={t("welcome.title")} text={t("welcome.text")} width={520}>
      <Step title={t("welcome.step.account")}>
        {options.has_accounts ? (
          <Text size="sm">{t("welcome.step.account.done")}</Text>
        ) : options.registration ? (
          <Group>
            <Button component={Link} to="/sign-up">
              {t("sign-up.button")}
            </Button>
          </Group>
        ) : (
          <Commands command="create" />
        )}
      </Step>
      {(options.registration || options.has_accounts) && (
        <Step title={t("welcome.step.admin")}>
          <Commands command="admin" />
        </Step>
      )}
      {options.has_accounts && (
        <Button component={Link} to="/" variant="default">
          {t("welcome.continue")}
        </Button>
      )}
    </AuthLayout>
  );
}

function Step({ title, children }: { title: string; children: ReactNode }) {
  return (
    <Stack gap="sm">
      <Title order={2} size="h3">
        {title}
      </Title>
      {children}
    </Stack>
  );
}

/** The command that makes an administrator, as a person types it on the machine of the server. */
function Commands({ command }: { command: "create" | "admin" }) {
  const address = useQueryClient().getQueryData<{ email: string }>(keys.me())?.email ?? "YOU@EXAMPLE.ORG";
  const text = `dropbox-api users ${command === "admin" ? `admin ${address}` : `create ${address} --admin`}`;
  return (
    <>
      <Command text={`. .dev/env && .venv/bin/${text}`} label={t("welcome.command.dev")} />
      <Command text={text} label={t("welcome.command")} />
      <Text size="xs" c="dimmed">
        {t("welcome.why")}
      </Text>
    </>
  );
}

function Command({ text, label }: { text: string; label: string }) {
  return (
    <Stack gap="xs">
      <Group justify="space-between" wrap="nowrap" align="flex-end">
        <Text size="sm">{label}</Text>
        <CopyButton text={text} label={t("copy")} size="compact-sm" />
      </Group>
      <Code block style={{ overflowWrap: "anywhere", whiteSpace: "pre-wrap" }}>
        {text}
      </Code>
    </Stack>
  );
}
