// The server demands a second factor, and this sign-in has none: set one up, or prove the one that the account has.

import { Anchor, Button, Divider, Stack, Text } from "@mantine/core";
import { KeyRound } from "lucide-react";
import { useState } from "react";
import { client, queryClient, signOut } from "../lib/client.ts";
import { t } from "../lib/i18n.ts";
import { notifyError } from "../lib/notify.tsx";
import { readReason } from "../lib/problems.ts";
import { FormError } from "../ui/FormError.tsx";
import { CodeForm, Enrolment } from "./AppFactor.tsx";
import { AuthLayout } from "./AuthLayout.tsx";
import { createPasskey } from "./createPasskey.ts";
import { RecoveryCodes } from "./RecoveryCodes.tsx";
import { useSignInOptions } from "./useSignInOptions.ts";

export default function EnrolSecondFactor() {
  const { data: options } = useSignInOptions();
  const [proposal, setProposal] = useState<{ secret: string; otpauth_url: string } | null>(null);
  const [mustProve, setMustProve] = useState(false);
  const [codes, setCodes] = useState<readonly string[]>([]);
  const [error, setError] = useState<unknown>(null);
  const finish = () => queryClient.invalidateQueries();
  const run = (action: () => Promise<unknown>) =>
    action().catch((failure: unknown) => {
      if (readReason(failure) === "second-factor-missing") setMustProve(true);
      else setError(failure);
    });
  const show = (recoveryCodes: readonly string[]) => {
    if (recoveryCodes.length > 0) setCodes(recoveryCodes);
    else void finish();
  };
  const beginApp = () =>
    run(async () => setProposal((await client.api.POST("/v1/me/second-factor", { body: {} })).data));
  const addPasskey = () =>
    run(async () => show((await createPasskey(t("passkeys.first"), (action) => action())).recovery_codes));
  const footer = (
    <Anchor component="button" type="button" onClick={() => void signOut().catch(notifyError)}>
      {t("sign-out")}
    </Anchor>
  );
  return (
    <AuthLayout title={t("enrol.title")} text={t(mustProve ? "enrol.prove" : "enrol.text")} footer={footer}>
      <FormError error={error} />
      {mustProve ? (
        <CodeForm
          label={t("sign-in.code")}
          action={t("sign-in.button")}
          onCode={async (otp) => {
            await client.api.POST("/v1/me/confirm", { body: { otp } });
            await finish();
          }}
        />
      ) : proposal !== null ? (
        <Enrolment
          proposal={proposal}
          onCode={async (code) => {
            show((await client.api.POST("/v1/me/second-factor/confirm", { body: { code } })).data.recovery_codes);
          }}
        />
      ) : (
        <Stack>
          {options?.passkeys && (
            <>
              <Button leftSection={<KeyRound size={16} aria-hidden />} onClick={() => void addPasskey()}>
                {t("passkeys.add")}
              </Button>
              <Divider label={<Text size="xs">{t("sign-in.or")}</Text>} />
            </>
          )}
          <Button variant="default" onClick={() => void beginApp()}>
            {t("app.on")}
          </Button>
        </Stack>
      )}
      <RecoveryCodes
        codes={codes}
        onClose={() => {
          setCodes([]);
          void finish();
        }}
      />
    </AuthLayout>
  );
}
