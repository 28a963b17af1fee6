// PDF documents, read in ranges by pdf.js in a worker.

import type { RemoteFile } from "dropbox-api-client";
import { getDocument, PDFDataRangeTransport, type PDFDocumentProxy, PDFWorker, TextLayer } from "pdfjs-dist";
import Worker from "pdfjs-dist/build/pdf.worker.min.mjs?worker";
import { RangeReader } from "./content.ts";

export { TextLayer };

/** Fonts, character maps and decoders that some documents need. */
const DATA = import.meta.glob<string>(
  [
    "../../../node_modules/pdfjs-dist/cmaps/*.bcmap",
    "../../../node_modules/pdfjs-dist/standard_fonts/*.{pfb,ttf}",
    "../../../node_modules/pdfjs-dist/wasm/{jbig2,openjpeg,qcms_bg}.wasm",
  ],
  { query: "?url", import: "default", eager: true },
);
const URLS = new Map(Object.entries(DATA).map(([path, url]) => [path.slice(path.lastIndexOf("/") + 1), url]));

class DataFactory {
  async fetch({ filename }: { filename: string }): Promise<Uint8Array> {
    const url = URLS.get(filename);
    if (url === undefined) throw new Error(`${filename} is not part of the app`);
    return new Uint8Array(await (await fetch(url)).arrayBuffer());
  }
}

class Ranges extends PDFDataRangeTransport {
  readonly #leaving = new AbortController();
  readonly #reader: RangeReader;
  readonly #onError: (error: unknown) => void;

  constructor(file: RemoteFile, onError: (error: unknown) => void) {
    super(file.size_bytes ?? 0, null);
    this.#reader = new RangeReader(file);
    this.#onError = onError;
  }

  override requestDataRange(begin: number, end: number): void {
    this.#reader.read(begin, end, this.#leaving.signal).then(
      (bytes) => this.onDataRange(begin, bytes),
      (error: unknown) => this.#leaving.signal.aborted || this.#onError(error),
    );
  }

  override abort(): void {
    this.#leaving.abort();
  }
}

export function openPdf(file: RemoteFile): { document: Promise<PDFDocumentProxy>; close: () => void } {
  const worker = PDFWorker.create({ port: new Worker() });
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => undefined);
  const task = getDocument({
    range: new Ranges(file, failed.reject),
    worker,
    disableAutoFetch: true,
    disableStream: true,
    BinaryDataFactory: DataFactory,
    useWorkerFetch: false,
    stopAtErrors: false,
  });
  return {
    document: Promise.race([task.promise, failed.promise]),
    close: () => void task.destroy().then(() => worker.destroy()),
  };
}
