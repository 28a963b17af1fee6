// Change how much an account may store.

import { Button, Modal, NumberInput, Stack, Text } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { client, queryClient } from "../lib/client.ts";
import { formatBytes } from "../lib/format.ts";
import { t } from "../lib/i18n.ts";
import { keys } from "../lib/keys.ts";
import { notifyDone } from "../lib/notify.tsx";
import { FormError } from "../ui/FormError.tsx";
import type { User } from "./UsersPage.tsx";

const GB = 1e9;

export function QuotaDialog({ user, onClose }: { user: User | null; onClose: () => void }) {
  return (
    <Modal opened={user !== null} onClose={onClose} title={t("admin.quota")}>
      {user && <QuotaForm user={user} onClose={onClose} />}
    </Modal>
  );
}

function QuotaForm({ user, onClose }: { user: User; onClose: () => void }) {
  const [size, setSize] = useState<number | string>(Math.round((user.quota_bytes / GB) * 10) / 10);
  const [count, setCount] = useState<number | string>(user.quota_nodes);
  const save = useMutation({
    mutationFn: () => {
      const body = { quota_bytes: Math.round(Number(size) * GB), quota_nodes: Number(count) };
      return client.api.PATCH("/v1/admin/users/{user_id}", { params: { path: { user_id: user.id } }, body });
    },
    onSuccess: () => {
      notifyDone(t("saved"));
      onClose();
      void queryClient.invalidateQueries({ queryKey: keys.users() });
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    save.mutate();
  };
  return (
    <form onSubmit={submit}>
      <Stack>
        <Text size="sm">{t("admin.quota.text", { email: user.email, used: formatBytes(user.used_bytes) })}</Text>
        <NumberInput
          label={t("admin.quota.size")}
          value={size}
          onChange={setSize}
          min={0}
          max={1e9}
          decimalScale={1}
          hideControls
          data-autofocus
        />
        <NumberInput
          label={t("admin.quota.count")}
          value={count}
          onChange={setCount}
          min={0}
          max={1e12}
          allowDecimal={false}
          thousandSeparator
          hideControls
        />
        <FormError error={save.error} />
        <Button type="submit" loading={save.isPending} disabled={size === "" || count === ""}>
          {t("save")}
        </Button>
      </Stack>
    </form>
  );
}
