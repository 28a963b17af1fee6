// The ways to sign in: password with a code where the account has a second factor, passkey, identity provider.

import { Anchor, Button, Checkbox, Divider, Group, PasswordInput, Stack, Text, TextInput } from "@mantine/core";
import { isProblem } from "dropbox-api-client";
import { KeyRound, LogIn } from "lucide-react";
import { type FormEvent, useState } from "react";
import { Link } from "react-router";
import { session } from "../lib/client.ts";
import { t } from "../lib/i18n.ts";
import { FormError } from "../ui/FormError.tsx";
import { useSignInOptions } from "./useSignInOptions.ts";

interface SignInFormProps {
  /** The address of the only user that may sign in; without it any. */
  email?: string;
  /** The path to which a provider sends the browser back. */
  returnPath: string;
  onSignedIn: (userId: string) => void;
}

export function SignInForm({ email: fixedEmail, returnPath, onSignedIn }: SignInFormProps) {
  const { data: options } = useSignInOptions();
  const [email, setEmail] = useState(fixedEmail ?? "");
  const [password, setPassword] = useState("");
  const [stays, setStays] = useState(true);
  const [otp, setOtp] = useState<string | null>(null);
  const [running, setRunning] = useState<"password" | "passkey" | "provider" | null>(null);
  const [error, setError] = useState<unknown>(null);

  const run = async (way: "password" | "passkey" | "provider", action: () => Promise<unknown>) => {
    setRunning(way);
    setError(null);
    try {
      await action();
    } catch (failure) {
      setError(failure);
    } finally {
      setRunning(null);
    }
  };
  const signIn = (event: FormEvent) => {
    event.preventDefault();
    void run("password", async () => {
      try {
        onSignedIn(await session.signIn(email.trim(), password, { temporary: !stays, ...(otp !== null && { otp }) }));
      } catch (failure) {
        if (isProblem(failure, "second-factor-required")) setOtp("");
        else if (otp !== null && isProblem(failure, "invalid-credentials")) throw t("sign-in.code.wrong");
        else throw failure;
      }
    });
  };
  const signInWithPasskey = () =>
    run("passkey", async () => {
      try {
        onSignedIn(await session.signInWithPasskey({ temporary: !stays }));
      } catch (failure) {
        throw failure instanceof DOMException ? t("sign-in.passkey.failed") : failure;
      }
    });
  const signInAtProvider = () =>
    run("provider", async () => location.assign(await session.beginOidc(returnPath, { temporary: !stays })));

  if (otp !== null) {
    return (
      <form onSubmit={signIn}>
        <Stack>
          <Text size="sm" c="dimmed">
            {t("sign-in.code.text")}
          </Text>
          <TextInput
            label={t("sign-in.code")}
            name="otp"
            value={otp}
            onChange={(event) => setOtp(event.currentTarget.value)}
            autoComplete="one-time-code"
            maxLength={40}
            required
            autoFocus
            ff="monospace"
          />
          <FormError error={error} />
          <Button type="submit" loading={running === "password"} fullWidth>
            {t("sign-in.button")}
          </Button>
          <Button
            variant="subtle"
            onClick={() => {
              setOtp(null);
              setError(null);
            }}
          >
            {t("sign-in.back")}
          </Button>
        </Stack>
      </form>
    );
  }
  const hasPasskeys = options?.passkeys === true && window.PublicKeyCredential !== undefined;
  const provider = window.isSecureContext ? (options?.provider ?? null) : null;
  return (
    <Stack>
      <form onSubmit={signIn}>
        <Stack>
          <TextInput
            label={t("sign-in.email")}
            type="email"
            name="email"
            autoComplete="username"
            value={email}
            onChange={(event) => setEmail(event.currentTarget.value)}
            readOnly={fixedEmail !== undefined}
            required
            autoFocus={fixedEmail === undefined}
          />
          <PasswordInput
            label={t("sign-in.password")}
            name="password"
            autoComplete="current-password"
            value={password}
            onChange={(event) => setPassword(event.currentTarget.value)}
            maxLength={128}
            required
            data-autofocus
          />
          <Group justify="space-between" gap="sm">
            <Checkbox
              label={t("sign-in.stay")}
              checked={stays}
              onChange={(event) => setStays(event.currentTarget.checked)}
            />
            {options?.sends_mail && (
              <Anchor component={Link} to="/sign-in/forgot" size="sm">
                {t("sign-in.forgot")}
              </Anchor>
            )}
          </Group>
          <FormError error={error} />
          <Button type="submit" loading={running === "password"} fullWidth>
            {t("sign-in.button")}
          </Button>
        </Stack>
      </form>
      {(hasPasskeys || provider !== null) && (
        <>
          <Divider label={t("sign-in.or")} />
          {hasPasskeys && (
            <Button
              variant="default"
              leftSection={<KeyRound size={16} aria-hidden />}
              loading={running === "passkey"}
              onClick={() => void signInWithPasskey()}
            >
              {t("sign-in.passkey")}
            </Button>
          )}
          {provider !== null && (
            <Button
              variant="default"
              leftSection={<LogIn size={16} aria-hidden />}
              loading={running === "provider"}
              onClick={() => void signInAtProvider()}
            >
              {t("sign-in.provider", { name: provider })}
            </Button>
          )}
        </>
      )}
    </Stack>
  );
}
