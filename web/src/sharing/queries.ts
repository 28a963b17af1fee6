// What the server knows about sharing, and its changes.

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import type { Schemas } from "dropbox-api-client";
import { client } from "../lib/client.ts";
import { keys } from "../lib/keys.ts";
import { usePages } from "../lib/pages.ts";

export type Grant = Schemas["Grant"];
export type GrantedRole = Schemas["GrantedRole"];
export type Link = Schemas["Link"];
export type LinkSettings = Omit<Schemas["CreateLink"], "mode">;

const LARGE_PAGE = 1000;

export function useGrants(fileId: string) {
  return usePages(keys.grants(fileId), (page, signal) => {
    const params = { path: { file_id: fileId }, query: { ...page, limit: LARGE_PAGE } };
    return client.api.GET("/v1/files/{file_id}/grants", { params, signal });
  });
}

export function useContacts() {
  const query = useQuery({
    queryKey: keys.contacts(),
    queryFn: async ({ signal }) => {
      const params = { query: { limit: LARGE_PAGE } };
      return (await client.api.GET("/v1/me/contacts", { params, signal })).data.items;
    },
    staleTime: 60_000,
  });
  return query.data ?? [];
}

export function useLinks(fileId: string) {
  return usePages(keys.links(fileId), (page, signal) => {
    const params = { path: { file_id: fileId }, query: { ...page, limit: LARGE_PAGE } };
    return client.api.GET("/v1/files/{file_id}/links", { params, signal });
  });
}

function keyOfUploads({ id, node_id }: Link) {
  return [...keys.links(node_id), id, "uploads"];
}

/** Uploads to a link that have not ended. */
export function useLinkUploads(link: Link) {
  return usePages(
    keyOfUploads(link),
    (page, signal) => {
      const params = { path: { link_id: link.id }, query: { ...page, state: "active" as const } };
      return client.api.GET("/v1/links/{link_id}/uploads", { params, signal });
    },
    { refetchInterval: 5000 }, // uploads of link senders cause no events before they complete
  );
}

export function useSharedWithMe() {
  return usePages(keys.sharedWithMe(), (page, signal) =>
    client.api.GET("/v1/shared-with-me", { params: { query: page }, signal }),
  );
}

export function useSharedByMe() {
  return usePages(keys.sharedByMe(), (page, signal) =>
    client.api.GET("/v1/shared-by-me", { params: { query: page }, signal }),
  );
}

/** A change of who has access to a file, or of its links. */
function useSharingChange<Wanted, Answer>(fileId: string, change: (wanted: Wanted) => Promise<Answer>) {
  const queryClient = useQueryClient();
  return useMutation({
    mutationFn: change,
    onSettled: () => {
      const lists = [keys.grants(fileId), keys.links(fileId), keys.file(fileId), keys.sharedByMe(), keys.contacts()];
      return Promise.all(lists.map((queryKey) => queryClient.invalidateQueries({ queryKey })));
    },
  });
}

export function useCreateGrant(fileId: string) {
  return useSharingChange(fileId, async (body: { email: string; role: GrantedRole }) => {
    const params = { path: { file_id: fileId } };
    return (await client.api.POST("/v1/files/{file_id}/grants", { params, body })).data;
  });
}

export function useUpdateGrant(fileId: string) {
  return useSharingChange(fileId, async ({ id, role }: { id: string; role: GrantedRole }) => {
    const params = { path: { file_id: fileId, grant_id: id } };
    return (await client.api.PATCH("/v1/files/{file_id}/grants/{grant_id}", { params, body: { role } })).data;
  });
}

export function useRemoveGrant(fileId: string) {
  return useSharingChange(fileId, (id: string) => {
    const params = { path: { file_id: fileId, grant_id: id } };
    return client.api.DELETE("/v1/files/{file_id}/grants/{grant_id}", { params });
  });
}

export function useCreateLink(fileId: string) {
  return useSharingChange(fileId, async (body: Schemas["CreateLink"]) => {
    const params = { path: { file_id: fileId } };
    return (await client.api.POST("/v1/files/{file_id}/links", { params, body })).data;
  });
}

export function useUpdateLink({ id, node_id }: Link) {
  return useSharingChange(node_id, async (body: LinkSettings) => {
    return (await client.api.PATCH("/v1/links/{link_id}", { params: { path: { link_id: id } }, body })).data;
  });
}

export function useRevokeLink({ id, node_id }: Link) {
  return useSharingChange(node_id, () =>
    client.api.DELETE("/v1/links/{link_id}", { params: { path: { link_id: id } } }),
  );
}

export function useAbortLinkUpload(link: Link) {
  const queryClient = useQueryClient();
  return useMutation({
    mutationFn: (uploadId: string) => {
      const params = { path: { link_id: link.id, upload_id: uploadId } };
      return client.api.DELETE("/v1/links/{link_id}/uploads/{upload_id}", { params });
    },
    onSettled: () => queryClient.invalidateQueries({ queryKey: keyOfUploads(link) }),
  });
}

export function useLeave() {
  const queryClient = useQueryClient();
  return useMutation({
    mutationFn: (fileId: string) => {
      return client.api.DELETE("/v1/shared-with-me/{file_id}", { params: { path: { file_id: fileId } } });
    },
    onSettled: () => queryClient.invalidateQueries({ queryKey: keys.sharedWithMe() }),
  });
}

const POLL_MS = 1000;

/** Copy a file or folder of another owner to the caller's own files. Returns when the copy is complete. */
export async function saveCopy(fileId: string): Promise<Schemas["CopyProgress"]> {
  const body = { file_id: fileId, parent_path: "/" };
  let copy = (await client.api.POST("/v1/copies", { body })).data;
  while (copy.state === "running") {
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    copy = (await client.api.GET("/v1/copies/{copy_id}", { params: { path: { copy_id: copy.id } } })).data;
  }
  return copy;
}
