// Confirm that it is you: before a change of how the account signs in, ten minutes after the last time.

import { Button, Divider, Modal, PasswordInput, Stack, Text } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { KeyRound } from "lucide-react";
import { createContext, type FormEvent, type ReactNode, useCallback, useContext, useRef, useState } from "react";
import { client } from "../lib/client.ts";
import { t } from "../lib/i18n.ts";
import { NotConfirmed, readReason } from "../lib/problems.ts";
import { FormError } from "../ui/FormError.tsx";
import { useMe } from "./useMe.ts";
import { useSignInOptions } from "./useSignInOptions.ts";

type Run = <T>(action: () => Promise<T>) => Promise<T>;

const Context = createContext<Run>((action) => action());

/** Return a function that runs an action, and asks for a confirmation where the server demands one. */
export function useConfirmation(): Run {
  return useContext(Context);
}

export function Confirmation({ children }: { children: ReactNode }) {
  const [isOpen, setIsOpen] = useState(false);
  const finish = useRef<(isConfirmed: boolean) => void>(() => {});
  const run = useCallback(async <T,>(action: () => Promise<T>): Promise<T> => {
    try {
      return await action();
    } catch (error) {
      if (readReason(error) !== "sign-in-too-old") throw error;
    }
    const isConfirmed = await new Promise<boolean>((resolve) => {
      finish.current = resolve;
      setIsOpen(true);
    });
    if (!isConfirmed) throw new NotConfirmed();
    return action();
  }, []);
  const end = (isConfirmed: boolean) => {
    setIsOpen(false);
    finish.current(isConfirmed);
  };
  return (
    <Context value={run}>
      {children}
      <Modal opened={isOpen} onClose={() => end(false)} title={t("confirm.title")}>
        <ConfirmForm onConfirmed={() => end(true)} />
      </Modal>
    </Context>
  );
}

function ConfirmForm({ onConfirmed }: { onConfirmed: () => void }) {
  const { data: me } = useMe();
  const { data: options } = useSignInOptions();
  const [password, setPassword] = useState("");
  const confirm = useMutation({ mutationFn: (prove: () => Promise<unknown>) => prove(), onSuccess: onConfirmed });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    confirm.mutate(() => client.api.POST("/v1/me/confirm", { body: { password } }));
  };
  const provePasskey = () =>
    confirm.mutate(async () => {
      const { data } = await client.api.POST("/v1/me/confirm/options");
      const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(data as PublicKeyCredentialRequestOptionsJSON);
      const credential = await navigator.credentials.get({ publicKey }).catch(() => {
        throw t("sign-in.passkey.failed");
      });
      const passkey = (credential as PublicKeyCredential).toJSON() as never;
      await client.api.POST("/v1/me/confirm", { body: { passkey } });
    });
  return (
    <Stack>
      <Text size="sm">{t("confirm.text")}</Text>
      {me?.has_password && (
        <form onSubmit={submit}>
          <Stack>
            <PasswordInput
              label={t("sign-in.password")}
              autoComplete="current-password"
              value={password}
              onChange={(event) => setPassword(event.currentTarget.value)}
              maxLength={128}
              required
              data-autofocus
            />
            <Button type="submit" loading={confirm.isPending}>
              {t("confirm.button")}
            </Button>
          </Stack>
        </form>
      )}
      <FormError error={confirm.error} />
      {options?.passkeys && (
        <>
          {me?.has_password && <Divider label={t("sign-in.or")} />}
          <Button variant="default" leftSection={<KeyRound size={16} aria-hidden />} onClick={provePasskey}>
            {t("confirm.passkey")}
          </Button>
        </>
      )}
    </Stack>
  );
}
