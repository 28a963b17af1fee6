// A part of a page about one subject, with a border around it.

import { Group, Paper, Stack, Text, Title } from "@mantine/core";
import type { ReactNode } from "react";

interface SectionProps {
  title: string;
  text?: ReactNode;
  /** A button beside the title. */
  action?: ReactNode;
  children?: ReactNode;
}

export function Section({ title, text, action, children }: SectionProps) {
  return (
    <Paper component="section" aria-label={title} withBorder p={{ base: "md", sm: "lg" }} radius="md">
      <Stack gap="md">
        <Group justify="space-between" align="flex-start" gap="md">
          <Stack gap="xs" flex="1 1 260px">
            <Title order={2}>{title}</Title>
            {text && (
              <Text size="sm" c="dimmed" component="div">
                {text}
              </Text>
            )}
          </Stack>
          {action}
        </Group>
        {children}
      </Stack>
    </Paper>
  );
}
