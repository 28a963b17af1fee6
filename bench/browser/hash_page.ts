// Hashes a file in a worker as the engine does: as a whole and in chunks; with the option `chunks`, in chunks alone.

import { readOptions } from "./candidate.ts";

const worker = new Worker(new URL("./hash_worker.js", import.meta.url), { type: "module" });

window.candidate = {
  ready: Promise.resolve(),
  send: (transfer) =>
    new Promise((resolve, reject) => {
      worker.onmessage = () => resolve();
      worker.onerror = ({ message }) => reject(new Error(message));
      worker.postMessage({ file: transfer.files[0], hasFingerprint: "chunks" in readOptions() });
    }),
};
