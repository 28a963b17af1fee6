// Ask before something that cannot be undone.

import { Button, Group, Modal, Stack, Text } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { t } from "../lib/i18n.ts";
import { FormError } from "./FormError.tsx";

interface ConfirmDialogProps {
  opened: boolean;
  title: string;
  /** What happens, and what is lost. */
  text: ReactNode;
  /** The verb on the button. */
  action: string;
  /** What the other button says. */
  cancel?: string;
  isDangerous?: boolean;
  onConfirm: () => Promise<unknown>;
  onClose: () => void;
}

/** The dialog closes after the action, and shows the error of one that failed. */
export function ConfirmDialog(props: ConfirmDialogProps) {
  const { opened, title, text, action, cancel = t("cancel"), isDangerous = true, onConfirm, onClose } = props;
  const confirm = useMutation({ mutationFn: () => onConfirm(), onSuccess: onClose });
  const close = () => {
    confirm.reset();
    onClose();
  };
  return (
    <Modal opened={opened} onClose={close} title={title}>
      <Stack>
        <Text size="sm" component="div">
          {text}
        </Text>
        <FormError error={confirm.error} />
        <Group justify="flex-end">
          <Button variant="default" onClick={close} data-autofocus>
            {cancel}
          </Button>
          <Button {...(isDangerous && { color: "red.8" })} loading={confirm.isPending} onClick={() => confirm.mutate()}>
            {action}
          </Button>
        </Group>
      </Stack>
    </Modal>
  );
}
