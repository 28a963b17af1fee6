// What a later visit of the page needs to continue uploads, in IndexedDB.
//
// A row belongs to a scope, which names the server and the account (or the link), and to the tab that works on it: another
// tab takes over only what a closed one has left.

import { waitUntilEnded } from "../tabs.ts";

const DATABASE = "dropbox-api-resume";
const CLOSING_TAB_MS = 2000;
/** Rows are written for this long at once, so that the page stays responsive: one with a handle takes half a millisecond. */
const BUSY_MS = 12;

export interface Row {
  scope: string;
  id: string;
  tab: string;
  name: string;
  folders: readonly string[];
  parentId: string | null;
  sizeBytes: number;
  lastModified: number;
  uploadId: string | null;
  handle: FileSystemFileHandle | null;
}

export class ResumeStore {
  private last: Promise<unknown> = Promise.resolve();

  private constructor(
    private readonly database: IDBDatabase,
    private readonly scope: string,
    private readonly tab: string,
  ) {}

  /** Open the rows of a scope for a tab; null where the browser has no storage for the page. */
  static async open(scope: string, tab: string): Promise<ResumeStore | null> {
    try {
      const request = indexedDB.open(DATABASE, 1);
      request.onupgradeneeded = () => {
        // By `[scope, id]`. With a key path Chromium would copy each row, and handles are slow to copy and to collect.
        request.result.createObjectStore("uploads");
        request.result.createObjectStore("secrets");
      };
      return new ResumeStore(await promisify(request), scope, tab);
    } catch {
      return null;
    }
  }

  /** Return the secret of the sender to a link, which is made once. */
  async readSecret(): Promise<string> {
    const made = makeSecret();
    const store = this.database.transaction("secrets", "readwrite").objectStore("secrets");
    const known: unknown = await promisify(store.get(this.scope));
    if (typeof known === "string") return known;
    await promisify(store.put(made, this.scope));
    return made;
  }

  put(rows: readonly Omit<Row, "scope" | "tab">[]): Promise<void> {
    return this.writeEach(rows, (store, row) =>
      store.put({ ...row, scope: this.scope, tab: this.tab }, [this.scope, row.id]),
    );
  }

  setUploadId(id: string, uploadId: string | null): Promise<void> {
    return this.writeEach([id], (store) => {
      const request = store.get([this.scope, id]);
      request.onsuccess = () => request.result && store.put({ ...(request.result as Row), uploadId }, [this.scope, id]);
    });
  }

  delete(ids: readonly string[]): Promise<void> {
    return this.writeEach(ids, (store, id) => store.delete([this.scope, id]));
  }

  /** Forget all uploads of the scope, as when an account signs out. */
  async clear(): Promise<void> {
    await this.write((store) => {
      store.delete(this.range);
    });
  }

  /** Take over the rows that closed tabs have left. A tab that just closes, as in a reload, is awaited shortly. */
  async takeOver(): Promise<Row[]> {
    const rows = await promisify(this.database.transaction("uploads").objectStore("uploads").getAll(this.range));
    const others = [...new Set((rows as Row[]).map(({ tab }) => tab))].filter((tab) => tab !== this.tab);
    const signal = AbortSignal.timeout(CLOSING_TAB_MS);
    const haveEnded = await Promise.all(others.map((tab) => waitUntilEnded(tab, signal)));
    return this.takeOverFrom(new Set(others.filter((_, index) => haveEnded[index])));
  }

  /** Take over the rows of tabs that have closed, but those that another tab was faster to take. */
  async takeOverFrom(tabs: ReadonlySet<string>): Promise<Row[]> {
    const taken: Row[] = [];
    await this.write((store) => {
      const request: IDBRequest<Row[]> = store.getAll(this.range);
      request.onsuccess = () => {
        taken.push(...request.result.filter(({ tab }) => tabs.has(tab)));
        for (const row of taken) store.put({ ...row, tab: this.tab }, [this.scope, row.id]);
      };
    });
    return taken;
  }

  close(): void {
    this.database.close();
  }

  private get range(): IDBKeyRange {
    return IDBKeyRange.bound([this.scope], [this.scope, []]);
  }

  /** Write rows a few at a time, after those of earlier calls: none is deleted before it is there. */
  private writeEach<Item>(items: readonly Item[], write: (store: IDBObjectStore, item: Item) => void): Promise<void> {
    const written = this.last.then(async () => {
      for (let next = 0; next < items.length; ) {
        await this.write((store) => {
          const end = performance.now() + BUSY_MS;
          do write(store, items[next++] as Item);
          while (next < items.length && performance.now() < end);
        });
      }
    });
    this.last = written.catch(() => undefined);
    return written;
  }

  private write(change: (store: IDBObjectStore) => void): Promise<void> {
    const transaction = this.database.transaction("uploads", "readwrite");
    change(transaction.objectStore("uploads"));
    return new Promise((resolve, reject) => {
      transaction.oncomplete = () => resolve();
      transaction.onerror = transaction.onabort = () => reject(transaction.error);
    });
  }
}

/** Return a secret of 256 random bits for the sender to a link. */
export function makeSecret(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(32)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function promisify<Result>(request: IDBRequest<Result>): Promise<Result> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
