// Who is signed in, the settings of this person, the look of the app, and the way out.

import { ActionIcon, Avatar, Group, Menu, SegmentedControl, Stack, Text, useMantineColorScheme } from "@mantine/core";
import { LogOut, MonitorSmartphone, Moon, ShieldUser, Sun, UserCog } from "lucide-react";
import { Link } from "react-router";
import { useMe } from "../account/useMe.ts";
import { signOut } from "../lib/client.ts";
import { t } from "../lib/i18n.ts";
import { notifyError } from "../lib/notify.tsx";

const SCHEMES = [
  { value: "auto", label: "theme.auto", icon: MonitorSmartphone },
  { value: "light", label: "theme.light", icon: Sun },
  { value: "dark", label: "theme.dark", icon: Moon },
] as const;

export function AccountMenu() {
  const { data: me } = useMe();
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  const name = me?.display_name ?? me?.email ?? "";
  return (
    <Menu width={280}>
      <Menu.Target>
        <ActionIcon size={40} radius="xl" aria-label={t("shell.account", { name })}>
          <Avatar radius="xl" color="brand" variant="filled" size={34} aria-hidden>
            {name.charAt(0).toUpperCase()}
          </Avatar>
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        <Stack gap={0} px="sm" py="xs">
          {me?.display_name && (
            <Text size="sm" fw={600} truncate>
              {me.display_name}
            </Text>
          )}
          <Text size="sm" c="dimmed" truncate>
            {me?.email}
          </Text>
        </Stack>
        <Menu.Divider />
        <Menu.Item component={Link} to="/account/profile" leftSection={<UserCog size={16} aria-hidden />}>
          {t("shell.settings")}
        </Menu.Item>
        {me?.is_admin && (
          <Menu.Item component={Link} to="/admin" leftSection={<ShieldUser size={16} aria-hidden />}>
            {t("shell.admin")}
          </Menu.Item>
        )}
        <Menu.Divider />
        <Menu.Label>{t("theme.title")}</Menu.Label>
        <SegmentedControl
          fullWidth
          size="xs"
          aria-label={t("theme.title")}
          value={colorScheme}
          onChange={(value) => setColorScheme(value as typeof colorScheme)}
          data={SCHEMES.map(({ value, label, icon: Icon }) => ({
            value,
            label: (
              <Group gap={6} justify="center" wrap="nowrap">
                <Icon size={14} aria-hidden />
                {t(label)}
              </Group>
            ),
          }))}
        />
        <Menu.Divider />
        <Menu.Item leftSection={<LogOut size={16} aria-hidden />} onClick={() => void signOut().catch(notifyError)}>
          {t("sign-out")}
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}
