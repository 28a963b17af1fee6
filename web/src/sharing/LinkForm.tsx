// The settings of a new or an existing link.

import {
  Button,
  Group,
  Input,
  NativeSelect,
  NumberInput,
  Paper,
  PasswordInput,
  SegmentedControl,
  Stack,
  Switch,
  Text,
  TextInput,
} from "@mantine/core";
import { type FormEvent, useId, useState } from "react";
import { t } from "../lib/i18n.ts";
import { describeError } from "../lib/problems.ts";
import { type Expiry, type LinkFields, type LinkMode, PASSWORD_LENGTH, toDay } from "./linkForm.ts";
import { SizeInput } from "./SizeInput.tsx";

interface Props {
  initial: LinkFields;
  /** Modes to choose from; empty for an existing link, whose mode never changes. */
  modes: LinkMode[];
  hasPassword: boolean;
  action: string;
  error: unknown;
  isSaving: boolean;
  onSubmit: (fields: LinkFields) => void;
  onCancel: () => void;
}

export function LinkForm({ initial, modes, hasPassword, action, error, isSaving, onSubmit, onCancel }: Props) {
  const [fields, setFields] = useState(initial);
  const modeLabel = useId();
  const set = (change: Partial<LinkFields>) => setFields({ ...fields, ...change });
  const isShort = fields.password !== "" && fields.password.length < PASSWORD_LENGTH;

  function submit(event: FormEvent) {
    event.preventDefault();
    if (!isShort) onSubmit(fields);
  }

  return (
    <Paper component="form" withBorder p="md" onSubmit={submit}>
      <Stack gap="md">
        {modes.length > 0 ? (
          <div>
            <Input.Label component="div" id={modeLabel} mb={4}>
              {t("sharing.mode")}
            </Input.Label>
            <SegmentedControl
              aria-labelledby={modeLabel}
              fullWidth
              data={modes.map((value) => ({ value, label: t(`sharing.mode.${value}`) }))}
              value={fields.mode}
              onChange={(mode) => set({ mode: mode as LinkMode })}
            />
            <Text size="xs" c="dimmed" mt={4}>
              {t(`sharing.modeHint.${fields.mode}`)}
            </Text>
          </div>
        ) : null}
        <Group align="flex-start" grow preventGrowOverflow={false} gap="sm">
          <Expires fields={fields} set={set} />
          <PasswordInput
            label={t("sharing.passwordOptional")}
            description={hasPassword ? t("sharing.passwordKeep") : undefined}
            autoComplete="new-password"
            maxLength={128}
            disabled={fields.removePassword}
            value={fields.password}
            onChange={(event) => set({ password: event.currentTarget.value })}
            error={isShort ? t("sharing.passwordShort") : undefined}
          />
        </Group>
        {hasPassword ? (
          <Switch
            label={t("sharing.passwordRemove")}
            checked={fields.removePassword}
            onChange={(event) => set({ removePassword: event.currentTarget.checked, password: "" })}
          />
        ) : null}
        {fields.mode === "upload" ? (
          <UploadLimits fields={fields} set={set} />
        ) : (
          <DownloadLimit fields={fields} set={set} />
        )}
        {error ? (
          <Text role="alert" c="red" size="sm">
            {describeError(error)}
          </Text>
        ) : null}
        <Group justify="flex-end" gap="xs">
          <Button variant="default" onClick={onCancel}>
            {t("sharing.cancel")}
          </Button>
          <Button type="submit" loading={isSaving}>
            {action}
          </Button>
        </Group>
      </Stack>
    </Paper>
  );
}

interface PartProps {
  fields: LinkFields;
  set: (change: Partial<LinkFields>) => void;
}

function Expires({ fields, set }: PartProps) {
  const days = (["1", "7", "30"] as const).map((value) => ({
    value,
    label: t("sharing.expires.days", { count: Number(value) }),
  }));
  return (
    <Stack gap="xs">
      <NativeSelect
        label={t("sharing.expires")}
        data={[
          { value: "never", label: t("sharing.expires.never") },
          ...days,
          { value: "date", label: t("sharing.expires.date") },
        ]}
        value={fields.expiry}
        onChange={(event) => set({ expiry: event.currentTarget.value as Expiry })}
      />
      {fields.expiry === "date" ? (
        <TextInput
          type="date"
          required
          label={t("sharing.expiryDate")}
          min={toDay(new Date())}
          value={fields.date}
          onChange={(event) => set({ date: event.currentTarget.value })}
        />
      ) : null}
    </Stack>
  );
}

function DownloadLimit({ fields, set }: PartProps) {
  return (
    <NumberInput
      label={t("sharing.maxDownloads")}
      description={t("sharing.maxDownloadsHint")}
      min={1}
      allowDecimal={false}
      value={fields.maxDownloads ?? ""}
      onChange={(value) => set({ maxDownloads: toCount(value) })}
    />
  );
}

function UploadLimits({ fields, set }: PartProps) {
  return (
    <>
      <Group grow preventGrowOverflow={false} align="flex-end" gap="sm">
        <SizeInput label={t("sharing.maxBytes")} value={fields.maxBytes} onChange={(maxBytes) => set({ maxBytes })} />
        <SizeInput
          label={t("sharing.maxFileBytes")}
          value={fields.maxFileBytes}
          onChange={(maxFileBytes) => set({ maxFileBytes })}
        />
      </Group>
      <NumberInput
        label={t("sharing.maxFiles")}
        min={1}
        allowDecimal={false}
        value={fields.maxFiles ?? ""}
        onChange={(value) => set({ maxFiles: toCount(value) })}
      />
    </>
  );
}

function toCount(value: string | number): number | null {
  return typeof value === "number" && value >= 1 ? value : null;
}
