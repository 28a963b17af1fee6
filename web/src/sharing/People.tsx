// The people with access: add, change the role, remove.

import {
  ActionIcon,
  Autocomplete,
  Avatar,
  Badge,
  Button,
  Group,
  Input,
  NativeSelect,
  Stack,
  Text,
  Title,
} from "@mantine/core";
import type { RemoteFile } from "dropbox-api-client";
import { X } from "lucide-react";
import { type FormEvent, useId, useState } from "react";
import { Link } from "react-router";
import { t } from "../lib/i18n.ts";
import { notifyDone, notifyError } from "../lib/notify.tsx";
import { describeError } from "../lib/problems.ts";
import { ConfirmDialog } from "../ui/ConfirmDialog.tsx";
import { ErrorState } from "../ui/ErrorState.tsx";
import lists from "../ui/lists.module.css";
import { RowSkeletons } from "../ui/Skeletons.tsx";
import {
  type Grant,
  type GrantedRole,
  useContacts,
  useCreateGrant,
  useGrants,
  useRemoveGrant,
  useUpdateGrant,
} from "./queries.ts";

const ROLES: GrantedRole[] = ["viewer", "editor"];

function roleOptions() {
  return ROLES.map((value) => ({ value, label: t(`sharing.role.${value}`) }));
}

export function People({ file }: { file: RemoteFile }) {
  const { items: grants, query } = useGrants(file.id);
  return (
    <Stack gap="sm">
      <Title order={3} size="h5">
        {t("sharing.people")}
      </Title>
      <AddPerson file={file} known={grants} />
      {query.error ? <ErrorState error={query.error} onRetry={query.refetch} /> : null}
      {query.isPending ? <RowSkeletons count={2} /> : null}
      <Stack component="ul" gap={0} className={lists.plain}>
        <Person name={file.owner_name ?? file.owner} address={file.owner_name ? file.owner : null}>
          <Text size="sm" c="dimmed" px="sm">
            {t("sharing.owner")}
          </Text>
        </Person>
        {grants.map((grant) => (
          <GrantRow key={grant.id} file={file} grant={grant} />
        ))}
      </Stack>
    </Stack>
  );
}

function AddPerson({ file, known }: { file: RemoteFile; known: Grant[] }) {
  const [email, setEmail] = useState("");
  const [role, setRole] = useState<GrantedRole>("viewer");
  const id = useId();
  const contacts = useContacts();
  const create = useCreateGrant(file.id);

  const taken = new Set(known.map((grant) => grant.email));
  const suggestions = contacts.filter((contact) => contact.email !== null && !taken.has(contact.email));
  const names = new Map(suggestions.map((contact) => [contact.email, contact.display_name]));

  function submit(event: FormEvent) {
    event.preventDefault();
    const address = email.trim();
    if (address === "") return;
    create.mutate(
      { email: address, role },
      {
        onSuccess: (grant) => {
          setEmail("");
          const who = nameOf(grant);
          notifyDone(grant.pending ? t("sharing.sharedPending", { who }) : t("sharing.shared", { who }));
        },
      },
    );
  }

  return (
    <form onSubmit={submit}>
      <Input.Label htmlFor={id}>{t("sharing.add")}</Input.Label>
      <Group align="flex-start" gap="sm">
        <Autocomplete
          id={id}
          flex="1 1 14rem"
          placeholder={t("sharing.addPlaceholder")}
          inputMode="email"
          autoComplete="off"
          data={suggestions.map((contact) => contact.email ?? "")}
          renderOption={({ option }) => (
            <div>
              <Text size="sm">{names.get(option.value) ?? option.value}</Text>
              {names.get(option.value) ? (
                <Text size="xs" c="dimmed">
                  {option.value}
                </Text>
              ) : null}
            </div>
          )}
          value={email}
          onChange={(value) => {
            setEmail(value);
            create.reset();
          }}
          error={create.error ? describeError(create.error) : undefined}
        />
        <Group gap="sm" wrap="nowrap">
          <NativeSelect
            aria-label={t("sharing.newRole")}
            data={roleOptions()}
            value={role}
            onChange={(event) => setRole(event.currentTarget.value as GrantedRole)}
          />
          <Button type="submit" loading={create.isPending}>
            {t("sharing.addAction")}
          </Button>
        </Group>
      </Group>
    </form>
  );
}

export function nameOf(grant: Grant): string {
  return grant.display_name ?? grant.email ?? grant.user_id ?? "";
}

interface PersonProps {
  name: string;
  address: string | null;
  note?: React.ReactNode;
  children: React.ReactNode;
}

function Person({ name, address, note, children }: PersonProps) {
  return (
    <Group component="li" wrap="nowrap" gap="sm" py={6}>
      <Avatar name={name} color="initials" radius="xl" size={36} aria-hidden />
      <div className={lists.grow}>
        <Text size="sm" truncate>
          {name}
        </Text>
        <Group gap={6}>
          {address ? (
            <Text size="xs" c="dimmed" truncate>
              {address}
            </Text>
          ) : null}
          {note}
        </Group>
      </div>
      {children}
    </Group>
  );
}

function GrantRow({ file, grant }: { file: RemoteFile; grant: Grant }) {
  const [isRemoving, setRemoving] = useState(false);
  const update = useUpdateGrant(file.id);
  const remove = useRemoveGrant(file.id);
  const who = nameOf(grant);
  const address = grant.display_name === null ? null : grant.email;

  if (grant.inherited) {
    return (
      <Person
        name={who}
        address={address}
        note={
          <Text size="xs" c="dimmed">
            {t("sharing.inherited")} ·{" "}
            <Link to={{ search: `?share=${grant.node_id}` }}>{t("sharing.inheritedOpen")}</Link>
          </Text>
        }
      >
        <Text size="sm" c="dimmed" px="sm">
          {t(`sharing.role.${grant.role}`)}
        </Text>
      </Person>
    );
  }

  return (
    <Person
      name={who}
      address={address}
      note={
        grant.pending ? (
          <Badge size="sm" variant="light" color="gray" title={t("sharing.pendingHint")}>
            {t("sharing.pending")}
          </Badge>
        ) : null
      }
    >
      <NativeSelect
        aria-label={t("sharing.roleOf", { who })}
        size="xs"
        data={roleOptions()}
        value={update.isPending ? update.variables.role : grant.role}
        onChange={(event) => {
          const role = event.currentTarget.value as GrantedRole;
          update.mutate(
            { id: grant.id, role },
            {
              onSuccess: () => notifyDone(t("sharing.roleChanged", { who, role })),
              onError: (error) => notifyError(error),
            },
          );
        }}
      />
      <ActionIcon
        variant="subtle"
        color="gray"
        aria-label={t("sharing.remove", { who })}
        onClick={() => setRemoving(true)}
      >
        <X size={18} />
      </ActionIcon>
      <ConfirmDialog
        opened={isRemoving}
        title={t("sharing.removeTitle")}
        text={t("sharing.removeText", { who, name: file.name })}
        action={t("sharing.removeAction")}
        onClose={() => setRemoving(false)}
        onConfirm={async () => {
          await remove.mutateAsync(grant.id);
          notifyDone(t("sharing.removed", { who }));
        }}
      />
    </Person>
  );
}
