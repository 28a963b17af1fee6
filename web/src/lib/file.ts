import { useQuery } from "@tanstack/react-query";
import { client } from "./client.ts";
import { keys } from "./keys.ts";

/** A file or folder by its id. */
export function useFile(id: string) {
  return useQuery({
    queryKey: keys.file(id),
    queryFn: async ({ signal }) => {
      const params = { path: { file_id: id }, query: { thumbnails: true } };
      return (await client.api.GET("/v1/files/{file_id}", { params, signal })).data;
    },
  });
}
