// The folders of an account that uploads go to, made on the way: in batches, each folder once.

import type { Client, Schemas } from "../api.ts";
import { UploadError } from "./errors.ts";

const BATCH_ITEMS = 500;

/** The names of the folders on the way, below a destination. */
export interface FolderPath {
  parentId: string | null;
  names: readonly string[];
}

type Operation = Schemas["RunBatch"]["operations"][number];

export class Folders {
  private readonly made = new Map<string, Promise<string>>();
  private readonly refused = new Set<string>();

  constructor(private readonly client: Client) {}

  /** Return the id of a folder: of the destination itself without names, null for the root. Throws UploadError. */
  async find({ parentId, names }: FolderPath): Promise<string | null> {
    if (!names.length) return parentId;
    const known = this.made.get(keyOf(parentId, names));
    if (known) return known;
    await this.make([{ parentId, names }]);
    return this.find({ parentId, names });
  }

  /** Make folders, with those above them, or take the ones that are there. A refused one fails in `find`. */
  async make(paths: readonly FolderPath[]): Promise<void> {
    const missing = listMissing(paths, this.made);
    for (let begin = 0; begin < missing.length; begin += BATCH_ITEMS) {
      await this.makeBatch(missing.slice(begin, begin + BATCH_ITEMS));
    }
  }

  /** Try refused folders again at the next `find`. */
  forgetRefused(): void {
    for (const key of this.refused) this.made.delete(key);
    this.refused.clear();
  }

  private async makeBatch(paths: readonly FolderPath[]): Promise<void> {
    const position = new Map(paths.map(({ parentId, names }, index) => [keyOf(parentId, names), index]));
    const operations = await Promise.all(paths.map((path) => this.describe(path, position)));
    const answer = this.client.api.POST("/v1/files/batch", { body: { operations } });
    for (const [index, { parentId, names }] of paths.entries()) {
      const key = keyOf(parentId, names);
      const id = answer.then(({ data }) => readFolder(data.items[index]));
      id.catch((error: unknown) => {
        if (error instanceof UploadError) this.refused.add(key);
        else this.made.delete(key); // no answer: the caller tries again
      });
      this.made.set(key, id);
    }
    await answer;
  }

  private async describe({ parentId, names }: FolderPath, position: ReadonlyMap<string, number>): Promise<Operation> {
    const operation = { op: "create_folder" as const, name: names.at(-1) ?? "", on_conflict: "reuse" as const };
    if (names.length === 1) return parentId === null ? operation : { ...operation, parent_id: parentId };
    const above = keyOf(parentId, names.slice(0, -1));
    const item = position.get(above);
    if (item !== undefined) return { ...operation, parent_item: item };
    return { ...operation, parent_id: (await this.made.get(above)) ?? "" };
  }
}

/** Return the folders of `paths` and those above them that are not made yet, each once, parents first. */
function listMissing(paths: readonly FolderPath[], made: ReadonlyMap<string, unknown>): FolderPath[] {
  const missing = new Map<string, FolderPath>();
  for (const { parentId, names } of paths) {
    for (let depth = 1; depth <= names.length; depth++) {
      const path = { parentId, names: names.slice(0, depth) };
      const key = keyOf(parentId, path.names);
      if (!made.has(key)) missing.set(key, path);
    }
  }
  return [...missing.values()];
}

function keyOf(parentId: string | null, names: readonly string[]): string {
  return JSON.stringify([parentId, ...names.map((name) => name.normalize("NFC"))]);
}

function readFolder(item: Schemas["BatchResults"]["items"][number] | undefined): string {
  if (item?.file) return item.file.id;
  throw new UploadError("folder-refused", item?.problem?.detail ?? "The server did not make the folder");
}
