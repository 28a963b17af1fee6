// A folder and the folders above it.

import { useQuery } from "@tanstack/react-query";
import type { RemoteFile } from "dropbox-api-client";
import { client, queryClient } from "../lib/client.ts";
import { describeFile } from "../lib/file.ts";
import { keys } from "../lib/keys.ts";

/** Read a folder; without an id, the root of the account. */
export function useFolder(id: string | null) {
  return useQuery(id === null ? describeRoot() : describeFile(id));
}

/** Read the folders on the way to a folder, outermost first, without the folder itself. */
export function useAncestors(folder: RemoteFile | undefined): readonly RemoteFile[] {
  const { data } = useQuery({
    queryKey: [...keys.file(folder?.id ?? ""), "ancestors", folder?.parent_id],
    queryFn: async () => {
      const ancestors: RemoteFile[] = [];
      for (let id = folder?.parent_id ?? null; id !== null; ) {
        const above = await queryClient.ensureQueryData(describeFile(id));
        ancestors.unshift(above);
        id = above.parent_id;
      }
      return ancestors;
    },
    enabled: folder !== undefined,
  });
  return data ?? [];
}

const describeRoot = () => ({
  queryKey: keys.file("root"),
  queryFn: async ({ signal }: { signal: AbortSignal }) =>
    (await client.api.GET("/v1/files/by-path", { params: { query: { path: "/" } }, signal })).data,
});
