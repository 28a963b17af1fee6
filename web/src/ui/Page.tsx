// A page inside the shell: its title, the actions beside it, and the content.

import { Box, Group, Stack, Text, Title } from "@mantine/core";
import { type ReactNode, useEffect } from "react";
import { t } from "../lib/i18n.ts";

/** Show a title in the tab of the browser. */
export function useTitle(title: string): void {
  useEffect(() => {
    document.title = `${title} - ${t("app.name")}`;
  }, [title]);
}

interface PageProps {
  title: string;
  /** Instead of the title, in the tab of the browser. */
  tabTitle?: string;
  description?: ReactNode;
  /** Buttons beside the title. */
  actions?: ReactNode;
  /** Width of pages to read; lists take all of it. */
  width?: number;
  children: ReactNode;
}

export function Page({ title, tabTitle, description, actions, width, children }: PageProps) {
  useTitle(tabTitle ?? title);
  return (
    <Box maw={width} px={{ base: "md", sm: "lg" }} py="md">
      <Stack gap="lg">
        <Stack gap="xs">
          <Group justify="space-between" align="center" mih={36}>
            <Title order={1}>{title}</Title>
            {actions && <Group gap="sm">{actions}</Group>}
          </Group>
          {description && (
            <Text size="sm" c="dimmed">
              {description}
            </Text>
          )}
        </Stack>
        {children}
      </Stack>
    </Box>
  );
}
