// What a later visit of the page needs to continue uploads, in IndexedDB.
//
// A row belongs to a scope, which names the server and the account (or the link), and to the tab that works on it: a tab
// holds a Web Lock while it is open, so that another one takes over only what a closed tab has left.

const DATABASE = "dropbox-api-uploads";
const CLOSING_TAB_MS = 2000;

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
  private readonly tab: string = makeSecret();
  private hasClosed = Promise.withResolvers<void>();

  private constructor(
    private readonly database: IDBDatabase,
    private readonly scope: string,
  ) {}

  /** Open the rows of a scope; null where the browser has no storage for the page. */
  static async open(scope: string): Promise<ResumeStore | null> {
    try {
      const request = indexedDB.open(DATABASE, 1);
      request.onupgradeneeded = () => {
        request.result.createObjectStore("uploads", { keyPath: ["scope", "id"] });
        request.result.createObjectStore("secrets");
      };
      const store = new ResumeStore(await promisify(request), scope);
      await store.holdTab();
      return store;
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

  async put(rows: readonly Omit<Row, "scope" | "tab">[]): Promise<void> {
    await this.write((store) => {
      for (const row of rows) store.put({ ...row, scope: this.scope, tab: this.tab });
    });
  }

  async setUploadId(id: string, uploadId: string | null): Promise<void> {
    await this.write((store) => {
      const request = store.get([this.scope, id]);
      request.onsuccess = () => request.result && store.put({ ...(request.result as Row), uploadId });
    });
  }

  async delete(ids: readonly string[]): Promise<void> {
    await this.write((store) => {
      for (const id of ids) store.delete([this.scope, id]);
    });
  }

  /** Forget all uploads of the scope, as when an account signs out. */
  async clear(): Promise<void> {
    await this.write((store) => {
      store.delete(IDBKeyRange.bound([this.scope], [this.scope, []]));
    });
  }

  /** Take over the rows that closed tabs have left. A tab that just closes, as in a reload, is awaited shortly. */
  async takeOver(): Promise<Row[]> {
    const rows = await this.readRows();
    const others = new Set(rows.map(({ tab }) => tab).filter((tab) => tab !== this.tab));
    const closed = new Set<string>();
    await Promise.all(
      [...others].map(async (tab) => {
        if (await waitUntilClosed(tab)) closed.add(tab);
      }),
    );
    const taken: Row[] = [];
    await this.write((store) => {
      for (const { id } of rows) {
        const request = store.get([this.scope, id]);
        request.onsuccess = () => {
          const row = request.result as Row | undefined;
          if (!row || !closed.has(row.tab)) return; // another tab was faster
          taken.push(row);
          store.put({ ...row, tab: this.tab });
        };
      }
    });
    return taken;
  }

  close(): void {
    this.hasClosed.resolve();
    this.database.close();
  }

  private readRows(): Promise<Row[]> {
    const store = this.database.transaction("uploads").objectStore("uploads");
    return promisify(store.getAll(IDBKeyRange.bound([this.scope], [this.scope, []])));
  }

  /** Hold the lock of this tab until it closes. */
  private async holdTab(): Promise<void> {
    if (!navigator.locks) return;
    await new Promise<void>((held) => {
      void navigator.locks.request(lockOf(this.tab), () => {
        held();
        return this.hasClosed.promise;
      });
    });
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

function lockOf(tab: string): string {
  return `dropbox-api-tab-${tab}`;
}

/** Wait for a tab that may be closing; return whether it has closed. */
async function waitUntilClosed(tab: string): Promise<boolean> {
  if (!navigator.locks) return true;
  try {
    await navigator.locks.request(lockOf(tab), { signal: AbortSignal.timeout(CLOSING_TAB_MS) }, () => undefined);
    return true;
  } catch {
    return false;
  }
}

function promisify<Result>(request: IDBRequest<Result>): Promise<Result> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
