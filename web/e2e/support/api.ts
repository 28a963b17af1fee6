// The process of the API, which a test ends. `dropbox-api dev` starts it again.

import { readFile } from "node:fs/promises";
import { inject } from "vitest";

/** Kill the API. Returns the function that lets `dropbox-api dev` start it again: until then it stays away. */
export async function killApi(): Promise<() => void> {
  const dev = inject("serverProcess");
  process.kill(dev, "SIGSTOP");
  try {
    process.kill(await findApi(dev), "SIGKILL");
  } catch (error) {
    process.kill(dev, "SIGCONT");
    throw error;
  }
  return () => process.kill(dev, "SIGCONT");
}

async function findApi(dev: number): Promise<number> {
  for (const guard of await readChildren(dev)) {
    const command = await readFile(`/proc/${guard}/cmdline`, "utf8");
    const [api] = await readChildren(guard);
    if (command.endsWith("\0serve\0") && api !== undefined) return api;
  }
  throw new Error("the API does not run");
}

async function readChildren(parent: number): Promise<number[]> {
  const text = await readFile(`/proc/${parent}/task/${parent}/children`, "utf8");
  return text.split(" ").filter(Boolean).map(Number);
}
