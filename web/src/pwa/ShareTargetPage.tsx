// Asks where the shared files go, and uploads them.

import { Button, Group, Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { FileX } from "lucide-react";
import { useState } from "react";
import { Link, useNavigate, useSearchParams } from "react-router";
import { FolderChooser } from "../files/FolderChooser.tsx";
import { useFolder } from "../files/folders.ts";
import { currentUserId } from "../lib/client.ts";
import { formatBytes } from "../lib/format.ts";
import { t } from "../lib/i18n.ts";
import { keys } from "../lib/keys.ts";
import { EmptyState } from "../ui/EmptyState.tsx";
import { ErrorState } from "../ui/ErrorState.tsx";
import { Page } from "../ui/Page.tsx";
import { RowSkeletons } from "../ui/Skeletons.tsx";
import { uploadTree } from "../uploads/uploader.ts";
import { deleteShare, takeShare } from "./shares.ts";

export function ShareTargetPage() {
  const [parameters] = useSearchParams();
  const id = parameters.get("id");
  const {
    data: files,
    error,
    refetch,
  } = useQuery({
    queryKey: keys.share(id ?? ""),
    queryFn: async () => (id === null ? [] : takeShare(id, currentUserId() ?? "")),
    staleTime: Number.POSITIVE_INFINITY,
    networkMode: "always",
  });
  if (error) return <ErrorState error={error} onRetry={refetch} />;
  if (files === undefined) return <RowSkeletons count={4} />;
  if (id === null || files.length === 0) {
    return (
      <EmptyState
        icon={FileX}
        title={t(parameters.has("failed") ? "share-target.failed.title" : "share-target.empty.title")}
        text={t(parameters.has("failed") ? "share-target.failed.text" : "share-target.empty.text")}
        action={
          <Button component={Link} to="/files">
            {t("not-found.button")}
          </Button>
        }
      />
    );
  }
  return <SharedFiles id={id} files={files} />;
}

const SHOWN = 10;

function SharedFiles({ id, files }: { id: string; files: readonly File[] }) {
  const navigate = useNavigate();
  const [folderId, setFolderId] = useState<string | null>(null);
  const { data: folder } = useFolder(folderId);
  const count = files.length;
  const size = formatBytes(files.reduce((sum, file) => sum + file.size, 0));
  const upload = async () => {
    await uploadTree(files, folderId);
    await deleteShare(id);
    await navigate(folderId === null ? "/files" : `/files/${folderId}`, { replace: true });
  };
  const discard = async () => {
    await deleteShare(id);
    await navigate("/files", { replace: true });
  };
  return (
    <Page title={t("share-target.title", { count })} description={t("share-target.text", { count, size })} width={640}>
      <Stack gap={0} component="ul" m={0} pl="lg">
        {files.slice(0, SHOWN).map(({ name }, index) => (
          <Text component="li" size="sm" key={index} style={{ overflowWrap: "anywhere" }}>
            {name}
          </Text>
        ))}
        {count > SHOWN && (
          <Text component="li" size="sm">
            {t("share-target.more", { count: count - SHOWN })}
          </Text>
        )}
      </Stack>
      <FolderChooser id={folderId} onChoose={setFolderId} without={[]} />
      <Group justify="flex-end" gap="sm">
        <Button variant="default" onClick={() => void discard()}>
          {t("share-target.discard")}
        </Button>
        <Button disabled={folder === undefined || folder.role === "viewer"} onClick={() => void upload()}>
          {t("share-target.upload")}
        </Button>
      </Group>
    </Page>
  );
}
