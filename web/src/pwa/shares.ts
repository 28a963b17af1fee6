// What other apps of the device share with this one, in IndexedDB: the service worker keeps it, `/share-target` uploads it.

const DATABASE = "dropbox-web shares";
const STORE = "shares";
const KEPT_MS = 24 * 3600 * 1000;

interface Share {
  id: string;
  /** The user who has opened it. Before that it belongs to the address with its id alone. */
  userId: string | null;
  /** Milliseconds of `Date.now()`. */
  sharedAt: number;
  files: readonly File[];
}

/** Keep files for a page at `/share-target?id=ID`; return the id. Old ones are deleted. */
export async function keepShare(files: readonly File[]): Promise<string> {
  const id = crypto.randomUUID();
  const share: Share = { id, userId: null, sharedAt: Date.now(), files };
  await change((store) => {
    const all: IDBRequest<Share[]> = store.getAll();
    all.onsuccess = () => {
      for (const { id, sharedAt } of all.result) if (sharedAt < Date.now() - KEPT_MS) store.delete(id);
      store.put(share);
    };
  });
  return id;
}

/** Return the files of a share, which belong to the user from now on; none if another user has opened it, or it is gone. */
export async function takeShare(id: string, userId: string): Promise<readonly File[]> {
  let files: readonly File[] = [];
  await change((store) => {
    const found: IDBRequest<Share | undefined> = store.get(id);
    found.onsuccess = () => {
      const share = found.result;
      if (share === undefined || (share.userId ?? userId) !== userId) return;
      files = share.files;
      store.put({ ...share, userId });
    };
  });
  return files;
}

export function deleteShare(id: string): Promise<void> {
  return change((store) => store.delete(id));
}

/** Forget everything that was shared, as when a user signs out. */
export function clearShares(): Promise<void> {
  return change((store) => store.clear());
}

async function change(run: (store: IDBObjectStore) => unknown): Promise<void> {
  const database = await new Promise<IDBDatabase>((resolve, reject) => {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: "id" });
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  try {
    const transaction = database.transaction(STORE, "readwrite");
    run(transaction.objectStore(STORE));
    await new Promise<void>((resolve, reject) => {
      transaction.oncomplete = () => resolve();
      transaction.onerror = transaction.onabort = () => reject(transaction.error);
    });
  } finally {
    database.close();
  }
}
