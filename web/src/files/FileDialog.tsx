// A dialog about a file: its frame on screens and phones, and what it shows until the file is read.

import { FocusTrap, Modal, VisuallyHidden } from "@mantine/core";
import { useMediaQuery } from "@mantine/hooks";
import type { RemoteFile } from "dropbox-api-client";
import type { ReactNode } from "react";
import { useFile } from "../lib/file.ts";
import { t } from "../lib/i18n.ts";
import { ErrorState } from "../ui/ErrorState.tsx";
import { RowSkeletons } from "../ui/Skeletons.tsx";

interface FileDialogProps {
  id: string;
  title: (file: RemoteFile) => string;
  onClose: () => void;
  children: (file: RemoteFile) => ReactNode;
}

export function FileDialog({ id, title, onClose, children }: FileDialogProps) {
  const isPhone = useMediaQuery("(max-width: 48em)", false, { getInitialValueInEffect: false });
  const { data: file, error, refetch } = useFile(id);
  return (
    <Modal
      opened
      onClose={onClose}
      fullScreen={isPhone}
      size="lg"
      title={file ? title(file) : <VisuallyHidden>{t("loading")}</VisuallyHidden>}
    >
      <FocusTrap.InitialFocus />
      {file ? children(file) : error ? <ErrorState error={error} onRetry={refetch} /> : <RowSkeletons count={4} />}
    </Modal>
  );
}
