// Who is signed in, the settings of this person, the look of the app, and the way out.

import { ActionIcon, Avatar, Menu, Stack, Text, useMantineColorScheme } from "@mantine/core";
import { Check, LogOut, MonitorSmartphone, Moon, ShieldUser, Sun, UserCog } from "lucide-react";
import { useState } from "react";
import { Link } from "react-router";
import { useMe } from "../account/useMe.ts";
import { signOut } from "../lib/client.ts";
import { t } from "../lib/i18n.ts";
import { notifyError } from "../lib/notify.tsx";
import { ConfirmDialog } from "../ui/ConfirmDialog.tsx";
import { cancelUploads, countUnfinished } from "../uploads/uploader.ts";

const SCHEMES = [
  { value: "auto", label: "theme.auto", icon: MonitorSmartphone },
  { value: "light", label: "theme.light", icon: Sun },
  { value: "dark", label: "theme.dark", icon: Moon },
] as const;

export function AccountMenu() {
  const { data: me } = useMe();
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  const name = me?.display_name ?? me?.email ?? "";
  const [unfinished, setUnfinished] = useState(0);
  const initial = name.charAt(0).toUpperCase();
  const leave = () => {
    const count = countUnfinished();
    setUnfinished(count);
    if (count === 0) void signOut().catch(notifyError);
  };
  const cancelAndLeave = async () => {
    await cancelUploads();
    await signOut();
  };
  return (
    <>
      <ConfirmDialog
        opened={unfinished > 0}
        title={t("sign-out.title")}
        text={t("sign-out.text", { count: unfinished })}
        action={t("sign-out.action")}
        cancel={t("sign-out.stay")}
        onConfirm={cancelAndLeave}
        onClose={() => setUnfinished(0)}
      />
      <Menu width={280}>
        <Menu.Target>
          <ActionIcon size={40} radius="xl" aria-label={t("shell.account", { initial, name })}>
            <Avatar radius="xl" color="brand" variant="filled" size={34} aria-hidden>
              {initial}
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
          {SCHEMES.map(({ value, label, icon: Icon }) => (
            <Menu.RadioItem
              key={value}
              value={value}
              checked={value === colorScheme}
              closeMenuOnClick={false}
              checkIcon={<Check size={16} aria-hidden />}
              rightSection={<Icon size={16} aria-hidden />}
              onChange={() => setColorScheme(value)}
            >
              {t(label)}
            </Menu.RadioItem>
          ))}
          <Menu.Divider />
          <Menu.Item leftSection={<LogOut size={16} aria-hidden />} onClick={leave}>
            {t("sign-out")}
          </Menu.Item>
        </Menu.Dropdown>
      </Menu>
    </>
  );
}
