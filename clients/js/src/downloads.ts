// Downloads: signed URLs, which a page gives to the browser, and content that a page reads itself.

import type { Client, Schemas } from "./api.ts";
import { readPieces } from "./bodies.ts";
import { ApiProblem, isRetryable } from "./problems.ts";
import { send } from "./transport.ts";
import { computeBackoff, pause } from "./wait.ts";

export type DownloadUrl = Schemas["DownloadUrl"];

/** A file of the account, or the file of a link or below its folder. */
export type DownloadSource =
  | { fileId: string; revisionId?: string }
  /** `link` is the token in the link's address; `pass` comes from `POST /v1/public/links/{token}/pass`. */
  | { fileId: string; link: string; pass?: string };

export interface ReadOptions {
  /** First byte. */
  start?: number;
  /** Byte after the last one; without it, the size. */
  end?: number;
  signal?: AbortSignal;
}

export interface Content {
  /** Fails when the bytes cannot be had in full. */
  readonly stream: ReadableStream<Uint8Array>;
  /** Size, SHA-256 and revision of the whole file. */
  readonly info: DownloadUrl;
}

/** The file has other content than when the download began. */
export class ContentChanged extends Error {
  override readonly name = "ContentChanged";
}

const SILENCE_MS = 60_000;
/** Attempts in a row that bring no byte. */
const ATTEMPTS = 8;

/**
 * Return a URL of the content that works for some minutes, for a page's `<a>`, `<img>` or `<video>`.
 *
 * `inline` shows the content instead of saving it, if its type cannot run script. For a link it counts as a download.
 */
export async function signDownload(
  client: Client,
  source: DownloadSource,
  { inline = false, signal }: { inline?: boolean; signal?: AbortSignal | undefined } = {},
): Promise<DownloadUrl> {
  const options = signal ? { signal } : {};
  if ("link" in source) {
    const path = { token: source.link, file_id: source.fileId };
    const header = source.pass === undefined ? {} : { "X-Link-Pass": source.pass };
    const params = { path, query: { inline }, header };
    return (await client.api.GET("/v1/public/links/{token}/files/{file_id}/download", { params, ...options })).data;
  }
  const query = source.revisionId === undefined ? { inline } : { inline, revision: source.revisionId };
  const params = { path: { file_id: source.fileId }, query };
  return (await client.api.GET("/v1/files/{file_id}/download", { params, ...options })).data;
}

/** Return a URL of a zip of files and folders, or of a folder. A download may begin within some minutes. */
export async function createArchiveUrl(
  client: Client,
  content: { ids: string[] } | { folderId: string },
): Promise<string> {
  const body = "ids" in content ? { ids: content.ids } : { folder_id: content.folderId };
  const { data } = await client.api.POST("/v1/archives", { body });
  return new URL(data.url, client.baseUrl).href;
}

/**
 * Read the content of a file, or a range of it. A cut connection and an expired URL are continued where they ended.
 *
 * The stream gives exactly the bytes of one revision, or fails: with `ContentChanged` if another content takes its place.
 */
export async function openContent(client: Client, source: DownloadSource, options: ReadOptions = {}): Promise<Content> {
  const info = await signDownload(client, source, options);
  const start = Math.min(options.start ?? 0, info.size_bytes);
  const end = Math.min(options.end ?? info.size_bytes, info.size_bytes);
  const pinned = "link" in source ? source : { ...source, revisionId: info.revision_id };
  const pieces = readRange(client, pinned, info, { start, end, signal: options.signal });
  const stream = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await pieces.next();
        if (done) controller.close();
        else controller.enqueue(value);
      },
      async cancel() {
        await pieces.return();
      },
    },
    { highWaterMark: 0 },
  );
  return { stream, info };
}

interface Range {
  start: number;
  end: number;
  signal: AbortSignal | undefined;
}

async function* readRange(
  client: Client,
  source: DownloadSource,
  info: DownloadUrl,
  { start, end, signal }: Range,
): AsyncGenerator<Uint8Array, void> {
  let [url, position, failures]: [string | null, number, number] = [info.url, start, 0];
  while (position < end) {
    let cause: unknown;
    try {
      url ??= await signAgain(client, source, info, signal);
      const answer = await requestRange(client, url, info, { start: position, end, signal });
      if (answer === null) url = null;
      for await (const piece of answer ? readPieces(answer, SILENCE_MS, signal) : []) {
        position += piece.length;
        if (position > end) throw new ContentChanged("The store sent more bytes than the file has");
        if (piece.length > 0) failures = 0;
        yield piece;
      }
    } catch (error) {
      if (!isRetryable(error) || signal?.aborted) throw error;
      cause = error;
    }
    if (position === end) return;
    failures += 1;
    if (failures === ATTEMPTS) throw cause ?? new Error("The store refuses the URLs of the content");
    await pause(computeBackoff(failures, cause), signal);
  }
}

async function signAgain(
  client: Client,
  source: DownloadSource,
  info: DownloadUrl,
  signal: AbortSignal | undefined,
): Promise<string> {
  const { url, fingerprint } = await signDownload(client, source, { signal });
  if (fingerprint !== info.fingerprint) throw new ContentChanged("The file has changed since the download began");
  return url;
}

/** Request a range from the store. Returns null when it refuses the URL, as it does when the URL has expired. */
async function requestRange(client: Client, url: string, info: DownloadUrl, range: Range): Promise<Response | null> {
  const { start, end, signal } = range;
  const headers = end - start === info.size_bytes ? {} : { Range: `bytes=${start}-${end - 1}` };
  try {
    const answer = await send(client, new Request(url, signal ? { headers, signal } : { headers }));
    if (answer.status === (Object.keys(headers).length > 0 ? 206 : 200)) return answer;
    throw new Error(`The store answered ${answer.status} to a request for a range`);
  } catch (error) {
    if (error instanceof ApiProblem && [403, 404].includes(error.status)) return null;
    throw error;
  }
}
