// The engine of the JavaScript client.

import { bearer, createClient } from "../../clients/js/src/index.ts";
import { createUploader, readDrop } from "../../clients/js/src/upload/index.ts";
import { readOptions } from "./candidate.ts";

const { server = "", token = "" } = readOptions();
const uploader = createUploader({ client: createClient({ baseUrl: server, auth: bearer(token) }) });

window.candidate = {
  ready: uploader.ready,
  send: async (transfer) => waitForEnd((await uploader.add(await readDrop(transfer))).length),
  queue: async (files) => void (await uploader.add(files)),
};

function waitForEnd(count: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const look = () => {
      const { items } = uploader.getSnapshot();
      const failed = items.find(({ failure }) => failure);
      if (failed) reject(new Error(`${failed.name}: ${failed.failure?.detail}`));
      if (items.length === count && items.every(({ status }) => status === "done")) resolve();
    };
    uploader.subscribe(look);
    look();
  });
}
