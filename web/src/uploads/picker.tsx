// Choosing files and folders to upload. Where the browser gives handles, a later visit continues without choosing again.
// Folders come without: the handle of a folder leaves out files whose names Chromium lets no page write.

import { VisuallyHidden } from "@mantine/core";
import type { RemoteFile } from "dropbox-api-client";
import { readHandles } from "dropbox-api-client/upload";
import { type ChangeEvent, type RefObject, useRef } from "react";
import { t } from "../lib/i18n.ts";
import { notifyError } from "../lib/notify.tsx";
import { uploadTree } from "./uploader.ts";

declare global {
  interface Window {
    showOpenFilePicker?: (options: { multiple: boolean }) => Promise<FileSystemFileHandle[]>;
  }
}

interface Picker {
  files: RefObject<HTMLInputElement | null>;
  folder: RefObject<HTMLInputElement | null>;
  pickFiles: () => void;
  pickFolder: () => void;
  onChange: (event: ChangeEvent<HTMLInputElement>) => void;
}

export function usePicker(folder: RemoteFile): Picker {
  const [files, directory] = [useRef<HTMLInputElement>(null), useRef<HTMLInputElement>(null)];
  return {
    files,
    folder: directory,
    pickFiles: () => {
      const { showOpenFilePicker } = window;
      if (showOpenFilePicker) void pickHandles(showOpenFilePicker, folder);
      else files.current?.click();
    },
    pickFolder: () => directory.current?.click(),
    onChange: ({ currentTarget }) => {
      const picked = [...(currentTarget.files ?? [])];
      currentTarget.value = ""; // the same files may be picked again
      void uploadTree(picked, folder.id);
    },
  };
}

async function pickHandles(show: Required<Window>["showOpenFilePicker"], folder: RemoteFile): Promise<void> {
  try {
    await uploadTree(await readHandles(await show({ multiple: true })), folder.id);
  } catch (error) {
    if (!(error instanceof DOMException && error.name === "AbortError")) notifyError(error);
  }
}

/** The fields behind the buttons. */
export function PickButtons({ picker }: { picker: Picker }) {
  return (
    <VisuallyHidden aria-hidden>
      <input
        ref={picker.files}
        type="file"
        multiple
        tabIndex={-1}
        aria-label={t("files.upload")}
        data-testid="upload-files"
        onChange={picker.onChange}
      />
      <input
        ref={picker.folder}
        type="file"
        tabIndex={-1}
        aria-label={t("files.uploadFolder")}
        data-testid="upload-folder"
        {...{ webkitdirectory: "" }}
        onChange={picker.onChange}
      />
    </VisuallyHidden>
  );
}
