// `/sign-in?next=PATH`: sign in, then show the page of `next`. A provider sends the browser back here.

import { Anchor } from "@mantine/core";
import { useEffect, useState } from "react";
import { Link, Navigate, useNavigate, useSearchParams } from "react-router";
import { session } from "../lib/client.ts";
import { t } from "../lib/i18n.ts";
import { checkNext } from "../lib/paths.ts";
import { FormError } from "../ui/FormError.tsx";
import { AuthLayout } from "./AuthLayout.tsx";
import { SignInForm } from "./SignInForm.tsx";
import { useSignInOptions } from "./useSignInOptions.ts";

/** What the page knows about the session: the first look at it takes a moment. */
const arrival = { done: false };

export default function SignIn() {
  const navigate = useNavigate();
  const [parameters] = useSearchParams();
  const { data: options } = useSignInOptions();
  const [error, setError] = useState<unknown>(null);
  const next = checkNext(parameters.get("next"));
  useEffect(() => {
    const arrive = async () => {
      await session.finishOidc();
      const state = await session.restore();
      if (state.status === "signed-in") await navigate(next, { replace: true });
    };
    if (arrival.done) return;
    arrival.done = true;
    arrive().catch(setError);
  }, [navigate, next]);
  if (options?.has_accounts === false) return <Navigate to="/welcome" replace />;
  return (
    <AuthLayout
      title={t("sign-in.title")}
      footer={
        options?.registration && (
          <>
            {t("sign-in.new")}{" "}
            <Anchor component={Link} to="/sign-up" underline="always">
              {t("sign-in.register")}
            </Anchor>
          </>
        )
      }
    >
      <FormError error={error} />
      <SignInForm
        returnPath={next === "/" ? "/sign-in" : `/sign-in?next=${encodeURIComponent(next)}`}
        onSignedIn={() => void navigate(next, { replace: true })}
      />
    </AuthLayout>
  );
}
