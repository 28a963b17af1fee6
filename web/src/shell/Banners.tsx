// What a person should know on every page: no network, a new version, an address to confirm.

import { Alert, Button, Group } from "@mantine/core";
import { CloudOff, RefreshCw } from "lucide-react";
import { ConfirmAddress } from "../account/ConfirmAddress.tsx";
import { useConnection } from "../lib/connection.ts";
import { t } from "../lib/i18n.ts";
import { useOutdated } from "../lib/newVersion.ts";

export function Banners() {
  const connection = useConnection();
  const isOutdated = useOutdated();
  return (
    <>
      <div role="status">
        {connection === "unreachable" && (
          <Alert
            color="orange"
            radius={0}
            icon={<CloudOff size={18} aria-hidden />}
            title={t("live.unreachable.title")}
          >
            {t("live.unreachable.text")}
          </Alert>
        )}
        {connection === "offline" && (
          <Alert color="orange" radius={0} icon={<CloudOff size={18} aria-hidden />} title={t("offline.title")}>
            {t("offline.text")}
          </Alert>
        )}
        {isOutdated && (
          <Alert color="blue" radius={0} icon={<RefreshCw size={18} aria-hidden />} title={t("version.title")}>
            <Group justify="space-between">
              {t("version.text")}
              <Button size="compact-sm" onClick={() => location.reload()}>
                {t("error.reload")}
              </Button>
            </Group>
          </Alert>
        )}
      </div>
      <ConfirmAddress />
    </>
  );
}
