// The content of a file in a page: signed URLs, which expire while the page holds them, and text.

import { useQuery } from "@tanstack/react-query";
import { openContent, type RemoteFile, signDownload } from "dropbox-api-client";
import { client } from "../lib/client.ts";
import { keys } from "../lib/keys.ts";

type Shown = Pick<RemoteFile, "id" | "revision_id">;

/** A URL for elements; `renew` when the store refuses it. It changes for no other reason: media would begin again. */
export function useInlineUrl(file: Shown) {
  const { data, error, refetch } = useQuery({
    queryKey: [...keys.preview(file.revision_id ?? file.id), "url"],
    queryFn: ({ signal }) => signDownload(client, sourceOf(file), { inline: true, signal }),
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 0, // the next visit needs another one
    refetchOnWindowFocus: false,
    refetchOnReconnect: false,
  });
  return { url: data?.url ?? null, error, renew: refetch };
}

/** Bytes of a file that are shown as text. */
export const TEXT_BYTES = 1024 ** 2;

export interface TextContent {
  text: string;
  /** Whether the file is longer. */
  isPart: boolean;
}

/** Read the first mebibyte of a file as text. */
export function useText(file: Shown) {
  return useQuery({
    queryKey: [...keys.preview(file.revision_id ?? file.id), "text"],
    queryFn: async ({ signal }): Promise<TextContent> => {
      const { stream, info } = await openContent(client, sourceOf(file), { end: TEXT_BYTES, signal });
      const bytes = await new Response(stream).bytes();
      return { text: new TextDecoder().decode(bytes), isPart: info.size_bytes > TEXT_BYTES };
    },
    staleTime: Number.POSITIVE_INFINITY,
  });
}

/** Reads ranges of one revision, with a new URL when the store refuses the old one. */
export class RangeReader {
  #url: Promise<string> | null = null;

  constructor(private readonly file: Shown) {}

  async read(begin: number, end: number, signal: AbortSignal): Promise<Uint8Array> {
    for (let attempt = 1; ; attempt++) {
      this.#url ??= signDownload(client, sourceOf(this.file), { inline: true }).then(({ url }) => url);
      const url = this.#url;
      const answer = await fetch(await url, { headers: { Range: `bytes=${begin}-${end - 1}` }, signal });
      if (answer.ok) return new Uint8Array(await answer.arrayBuffer());
      if (this.#url === url) this.#url = null;
      if (attempt === 3) throw new Error(`The store answered ${answer.status}`);
    }
  }
}

function sourceOf({ id, revision_id }: Shown): { fileId: string; revisionId?: string } {
  return revision_id === null ? { fileId: id } : { fileId: id, revisionId: revision_id };
}
