import { Popover, TextInput } from "@mantine/core";
import type { RemoteFile } from "dropbox-api-client";
import { type KeyboardEvent, useEffect, useRef, useState } from "react";
import { t } from "../lib/i18n.ts";
import { describeError } from "../lib/problems.ts";
import { renameFile } from "./changes.tsx";
import classes from "./files.module.css";

/** Renames in place: Enter and leaving the field save, Escape does not. */
export function RenameField({ file, onEnd }: { file: RemoteFile; onEnd: () => void }) {
  const input = useRef<HTMLInputElement>(null);
  const [name, setName] = useState(file.name);
  const [error, setError] = useState<string | null>(null);
  const isOver = useRef(false);

  useEffect(() => {
    const stem = file.kind === "file" ? file.name.lastIndexOf(".") : -1;
    input.current?.focus();
    input.current?.setSelectionRange(0, stem > 0 ? stem : file.name.length);
  }, [file]);

  const end = () => {
    isOver.current = true;
    onEnd();
  };
  const save = async () => {
    if (isOver.current) return;
    if (name.trim() === "" || name === file.name) return end();
    isOver.current = true;
    try {
      await renameFile(file, name);
      onEnd();
    } catch (problem) {
      isOver.current = false;
      setError(describeError(problem));
      input.current?.focus();
    }
  };
  const onKeyDown = (event: KeyboardEvent) => {
    event.stopPropagation();
    if (event.key === "Enter") void save();
    if (event.key === "Escape") end();
  };

  return (
    <Popover opened={error !== null} position="bottom-start" withArrow withRoles={false} trapFocus={false}>
      <Popover.Target>
        <TextInput
          ref={input}
          className={classes.rename}
          size="xs"
          value={name}
          error={error !== null}
          aria-label={t("files.newName", { name: file.name })}
          onChange={(event) => {
            setName(event.currentTarget.value);
            setError(null);
          }}
          onKeyDown={onKeyDown}
          onBlur={() => void (error === null ? save() : end())}
        />
      </Popover.Target>
      <Popover.Dropdown role="alert" maw="calc(100vw - 1rem)">
        {error}
      </Popover.Dropdown>
    </Popover>
  );
}
