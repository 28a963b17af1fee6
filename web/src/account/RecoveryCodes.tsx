// Recovery codes: shown once, to be kept in a safe place.

import { Alert, Button, Code, Group, Modal, SimpleGrid, Stack, Text } from "@mantine/core";
import { TriangleAlert } from "lucide-react";
import { t } from "../lib/i18n.ts";
import { CopyButton } from "../ui/CopyButton.tsx";

/** The dialog is open as long as there are codes; only its button closes it. */
export function RecoveryCodes({ codes, onClose }: { codes: readonly string[]; onClose: () => void }) {
  return (
    <Modal
      opened={codes.length > 0}
      onClose={onClose}
      title={t("codes.title")}
      closeOnClickOutside={false}
      closeOnEscape={false}
      withCloseButton={false}
    >
      <Stack>
        <Text size="sm">{t("codes.text")}</Text>
        <Alert color="orange" icon={<TriangleAlert size={18} aria-hidden />}>
          {t("codes.once")}
        </Alert>
        <SimpleGrid cols={2} spacing="sm" component="ul" p={0} m={0}>
          {codes.map((code) => (
            <Code key={code} component="li" ta="center" py="xs" style={{ listStyle: "none" }}>
              {code}
            </Code>
          ))}
        </SimpleGrid>
        <Group justify="space-between">
          <CopyButton text={codes.join("\n")} label={t("codes.copy")} />
          <Button onClick={onClose}>{t("codes.done")}</Button>
        </Group>
      </Stack>
    </Modal>
  );
}
