// A page without the shell: one card in the middle.

import { Center, Group, Paper, Stack, Text, Title } from "@mantine/core";
import type { ReactNode } from "react";
import { t } from "../lib/i18n.ts";
import { Logo } from "../ui/Logo.tsx";
import { useTitle } from "../ui/Page.tsx";

interface AuthLayoutProps {
  title: string;
  text?: ReactNode;
  children: ReactNode;
  /** Below the card: a way to another page. */
  footer?: ReactNode;
  width?: number;
}

export function AuthLayout({ title, text, children, footer, width = 400 }: AuthLayoutProps) {
  useTitle(title);
  return (
    <Center component="main" mih="100dvh" px="md" py="xl" bg="var(--app-subtle)">
      <Stack gap="lg" w="100%" maw={width}>
        <Group justify="center" gap="sm">
          <Logo size={36} />
          <Text fw={600} size="lg">
            {t("app.name")}
          </Text>
        </Group>
        <Paper p={{ base: "lg", xs: "xl" }} withBorder shadow="sm" radius="lg">
          <Stack gap="md">
            <Stack gap="xs">
              <Title order={1} size="h2" fz="xl">
                {title}
              </Title>
              {text && (
                <Text size="sm" c="dimmed" component="div">
                  {text}
                </Text>
              )}
            </Stack>
            {children}
          </Stack>
        </Paper>
        {footer && (
          <Text size="sm" ta="center" component="div">
            {footer}
          </Text>
        )}
      </Stack>
    </Center>
  );
}
