// Ask before something that cannot be undone.

import { Button, Group, Modal, Stack, Text } from "@mantine/core";
import { type ReactNode, useState } from "react";
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
  const [isRunning, setIsRunning] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const close = () => {
    setError(null);
    onClose();
  };
  const confirm = async () => {
    setIsRunning(true);
    setError(null);
    try {
      await onConfirm();
      close();
    } catch (failure) {
      setError(failure);
    } finally {
      setIsRunning(false);
    }
  };
  return (
    <Modal opened={opened} onClose={close} title={title}>
      <Stack>
        <Text size="sm" component="div">
          {text}
        </Text>
        <FormError error={error} />
        <Group justify="flex-end">
          <Button variant="default" onClick={close} data-autofocus>
            {cancel}
          </Button>
          <Button {...(isDangerous && { color: "red.8" })} loading={isRunning} onClick={() => void confirm()}>
            {action}
          </Button>
        </Group>
      </Stack>
    </Modal>
  );
}
