// Let the browser make a passkey, and give it to the server.

import { client } from "../lib/client.ts";
import { t } from "../lib/i18n.ts";
import type { useConfirmation } from "./Confirmation.tsx";

/** Throws a text when the browser makes none, such as after Cancel. */
export async function createPasskey(name: string, confirm: ReturnType<typeof useConfirmation>) {
  const { data } = await confirm(() => client.api.POST("/v1/me/passkeys/options"));
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(data as PublicKeyCredentialCreationOptionsJSON);
  const created = await navigator.credentials.create({ publicKey }).catch(() => {
    throw t("passkeys.add.failed");
  });
  const credential = (created as PublicKeyCredential).toJSON() as never; // the types of the API and of the browser describe the same JSON
  return (await client.api.POST("/v1/me/passkeys", { body: { name, credential } })).data;
}
