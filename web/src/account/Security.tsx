// `/account/security`: password, authenticator app, recovery codes and passkeys.

import { t } from "../lib/i18n.ts";
import { ErrorState } from "../ui/ErrorState.tsx";
import { RowSkeletons } from "../ui/Skeletons.tsx";
import { AccountPage } from "./AccountPage.tsx";
import { AppFactor } from "./AppFactor.tsx";
import { Passkeys } from "./Passkeys.tsx";
import { PasswordForm } from "./PasswordForm.tsx";
import { useMe } from "./useMe.ts";

export default function Security() {
  const { data: me, error, refetch } = useMe();
  return (
    <AccountPage title={t("security.title")}>
      {me ? (
        <>
          <PasswordForm hasPassword={me.has_password === true} />
          <AppFactor isOn={me.second_factor === true} />
          <Passkeys />
        </>
      ) : error ? (
        <ErrorState error={error} onRetry={refetch} />
      ) : (
        <RowSkeletons count={6} />
      )}
    </AccountPage>
  );
}
