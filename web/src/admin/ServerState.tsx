// What the server checks about itself: `GET /readyz`.

import { Badge, Group, Paper, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { hasMessage, t } from "../lib/i18n.ts";

const REFRESH_MS = 30_000;

/** Return each check and what it says; an answer of 503 has them, too. */
async function readState(): Promise<[string, string][]> {
  const answer = await fetch("/readyz");
  const { status: _, ...checks }: Record<string, string> = await answer.json();
  return Object.entries(checks);
}

export function ServerState() {
  const { data, isError } = useQuery({ queryKey: ["readyz"], queryFn: readState, refetchInterval: REFRESH_MS });
  if (data === undefined && !isError) return null;
  return (
    <Paper component="section" aria-label={t("admin.server")} withBorder p="md" radius="md">
      <Group gap="lg">
        <Text fw={600}>{t("admin.server")}</Text>
        {isError ? (
          <Text size="sm">{t("error.connection")}</Text>
        ) : (
          data?.map(([name, said]) => {
            const key = `admin.check.${name}`;
            return (
              <Group key={name} gap="xs">
                <Text size="sm">{hasMessage(key) ? t(key) : name}</Text>
                <Badge variant="dot" color={said === "ok" ? "teal" : "red"} maw={480}>
                  {said === "ok" ? t("admin.ok") : said}
                </Badge>
              </Group>
            );
          })
        )}
      </Group>
    </Paper>
  );
}
