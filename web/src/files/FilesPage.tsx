import { Button, Skeleton } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { isProblem } from "dropbox-api-client";
import { FolderOpen, FolderX } from "lucide-react";
import { Link, useParams } from "react-router";
import { client } from "../lib/client.ts";
import { t } from "../lib/i18n.ts";
import { keys } from "../lib/keys.ts";
import { EmptyState } from "../ui/EmptyState.tsx";
import { ErrorState } from "../ui/ErrorState.tsx";
import { useTitle } from "../ui/Page.tsx";
import { RowSkeletons } from "../ui/Skeletons.tsx";
import { FileBrowser } from "./FileBrowser.tsx";
import { FolderPath } from "./FolderPath.tsx";
import classes from "./files.module.css";
import { useFolder } from "./folders.ts";

export function FilesPage() {
  const { folderId = null } = useParams();
  const { data: folder, error, refetch } = useFolder(folderId);
  useTitle(folder?.name || t("files.root"));
  if (folderId !== null && (isProblem(error, "not-found") || isProblem(error, "invalid-request"))) {
    return <MissingFolder id={folderId} />;
  }
  if (error && !folder) return <ErrorState error={error} onRetry={refetch} />;
  if (!folder) return <FolderSkeleton />;
  const mayAdd = folder.role !== "viewer";
  return (
    <FileBrowser
      key={folder.id}
      source={{ kind: "folder", id: folder.id }}
      folder={folder}
      title={<FolderPath folder={folder} />}
      label={folder.name || t("files.root")}
      empty={
        <EmptyState
          icon={FolderOpen}
          title={t("files.empty.title")}
          text={mayAdd ? t("files.empty.text") : t("files.empty.viewer")}
        />
      }
    />
  );
}

/** A folder in the trash is missing for all requests but one, and that one only its owner gets answered. */
function MissingFolder({ id }: { id: string }) {
  const { data: state, isPending } = useQuery({
    queryKey: [...keys.file(id), "state"],
    queryFn: async ({ signal }) => {
      const { data } = await client.api.POST("/v1/files/lookup", { body: { ids: [id] }, signal });
      return data.items[0]?.state ?? null;
    },
  });
  if (isPending) return <FolderSkeleton />;
  return state === "trashed" ? (
    <EmptyState
      icon={FolderX}
      title={t("files.inTrash.title")}
      text={t("files.inTrash.text")}
      action={
        <Button component={Link} to="/trash">
          {t("files.inTrash.button")}
        </Button>
      }
    />
  ) : (
    <EmptyState
      icon={FolderX}
      title={t("files.missing.title")}
      text={t("files.missing.text")}
      action={
        <Button component={Link} to="/files">
          {t("files.missing.button")}
        </Button>
      }
    />
  );
}

function FolderSkeleton() {
  return (
    <div className={classes.browser} aria-busy>
      <div className={classes.head}>
        <Skeleton height={20} my={8} width={200} />
      </div>
      <div className={classes.waiting}>
        <RowSkeletons count={12} />
      </div>
    </div>
  );
}
