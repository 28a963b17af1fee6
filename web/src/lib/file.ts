import { useQuery } from "@tanstack/react-query";
import { client } from "./client.ts";
import { keys } from "./keys.ts";

/** The query of a file or folder. */
export function describeFile(id: string) {
  return {
    queryKey: keys.file(id),
    queryFn: async ({ signal }: { signal: AbortSignal }) => {
      const params = { path: { file_id: id }, query: { thumbnails: true } };
      return (await client.api.GET("/v1/files/{file_id}", { params, signal })).data;
    },
  };
}

/** A file or folder by its id; null: none. */
export function useFile(id: string | null) {
  return useQuery({ ...describeFile(id ?? ""), enabled: id !== null });
}
