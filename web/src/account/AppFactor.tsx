// The authenticator app: turn it on with a QR code, turn it off, new recovery codes.

import { Badge, Button, Code, Group, Modal, Stack, Text, TextInput } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { client, queryClient } from "../lib/client.ts";
import { t } from "../lib/i18n.ts";
import { keys } from "../lib/keys.ts";
import { notifyDone, notifyError } from "../lib/notify.tsx";
import { FormError } from "../ui/FormError.tsx";
import { useConfirmation } from "./Confirmation.tsx";
import { QrCode } from "./QrCode.tsx";
import { RecoveryCodes } from "./RecoveryCodes.tsx";
import { Section } from "./Section.tsx";

interface Proposal {
  secret: string;
  otpauth_url: string;
}

type Ask = "off" | "codes";

export function AppFactor({ isOn }: { isOn: boolean }) {
  const confirm = useConfirmation();
  const [proposal, setProposal] = useState<Proposal | null>(null);
  const [asked, setAsked] = useState<Ask | null>(null);
  const [codes, setCodes] = useState<readonly string[]>([]);
  const begin = () =>
    confirm(() => client.api.POST("/v1/me/second-factor", { body: {} })).then(
      ({ data }) => setProposal(data),
      notifyError,
    );
  const finish = async (code: string) => {
    const { data } = await client.api.POST("/v1/me/second-factor/confirm", { body: { code } });
    setProposal(null);
    setCodes(data.recovery_codes);
    notifyDone(t("app.on.done"));
    await queryClient.invalidateQueries({ queryKey: keys.all() });
  };
  const proveOrTurnOff = async (otp: string) => {
    if (asked === "off") {
      await confirm(() => client.api.DELETE("/v1/me/second-factor", { body: { otp } }));
      notifyDone(t("app.off.done"));
      await queryClient.invalidateQueries({ queryKey: keys.all() });
    } else {
      const answer = await confirm(() => client.api.POST("/v1/me/second-factor/recovery-codes", { body: { otp } }));
      setCodes(answer.data.recovery_codes);
    }
    setAsked(null);
  };
  return (
    <Section
      title={t("app.title")}
      text={t("app.text")}
      action={
        <Badge variant="dot" color={isOn ? "teal" : "gray"}>
          {t(isOn ? "app.is-on" : "app.is-off")}
        </Badge>
      }
    >
      <Group gap="sm">
        {isOn ? (
          <>
            <Button variant="default" onClick={() => setAsked("codes")}>
              {t("codes.new")}
            </Button>
            <Button variant="default" onClick={() => setAsked("off")}>
              {t("app.off")}
            </Button>
          </>
        ) : (
          <Button variant="default" onClick={() => void begin()}>
            {t("app.on")}
          </Button>
        )}
      </Group>
      <Modal opened={proposal !== null} onClose={() => setProposal(null)} title={t("app.on")}>
        {proposal && <Enrolment proposal={proposal} onCode={finish} />}
      </Modal>
      <Modal
        opened={asked !== null}
        onClose={() => setAsked(null)}
        title={t(asked === "off" ? "app.off" : "codes.new")}
      >
        <Stack>
          <Text size="sm">{t(asked === "off" ? "app.off.text" : "codes.new.text")}</Text>
          <CodeForm
            label={t("sign-in.code")}
            action={t(asked === "off" ? "app.off" : "codes.new")}
            onCode={proveOrTurnOff}
          />
        </Stack>
      </Modal>
      <RecoveryCodes codes={codes} onClose={() => setCodes([])} />
    </Section>
  );
}

/** The secret as a QR code and as text, and the field for the first code. */
export function Enrolment({ proposal, onCode }: { proposal: Proposal; onCode: (code: string) => Promise<unknown> }) {
  return (
    <Stack>
      <Text size="sm">{t("app.scan")}</Text>
      <Group justify="center">
        <QrCode text={proposal.otpauth_url} label={t("app.qr")} />
      </Group>
      <Stack gap="xs">
        <Text size="sm" c="dimmed">
          {t("app.secret")}
        </Text>
        <Code block ta="center" tabIndex={0}>
          {proposal.secret}
        </Code>
      </Stack>
      <CodeForm label={t("app.code")} action={t("app.on.button")} onCode={onCode} />
    </Stack>
  );
}

interface CodeFormProps {
  label: string;
  action: string;
  onCode: (code: string) => Promise<unknown>;
}

export function CodeForm({ label, action, onCode }: CodeFormProps) {
  const [code, setCode] = useState("");
  const send = useMutation({ mutationFn: onCode });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    send.mutate(code.trim());
  };
  return (
    <form onSubmit={submit}>
      <Stack>
        <TextInput
          label={label}
          name="otp"
          autoComplete="one-time-code"
          value={code}
          onChange={(event) => setCode(event.currentTarget.value)}
          maxLength={40}
          required
          data-autofocus
          styles={{ input: { fontFamily: "var(--mantine-font-family-monospace)" } }}
        />
        <FormError error={send.error} />
        <Button type="submit" loading={send.isPending}>
          {action}
        </Button>
      </Stack>
    </form>
  );
}
