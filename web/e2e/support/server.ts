// Starts the server with everything that it needs (`dropbox-api dev`) for all test files, and stops it.

import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { chmod, mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { TestProject } from "vitest/node";
import { CHROMIUM } from "./chromium.ts";

const PROGRAMS = resolve(import.meta.dirname, "../../../.venv/bin");
const COMMAND = join(PROGRAMS, "dropbox-api");
const START_MS = 600_000;

declare module "vitest" {
  interface ProvidedContext {
    /** Address of the server, as it prints it. */
    server: string;
    /** Of `dropbox-api dev`. */
    serverProcess: number;
    /** Where the server writes its mails. */
    mailFolder: string;
    /** Address of the server's OpenID provider. */
    provider: string;
    /** Ports of the other sites whose pages the server's CORS settings allow, one for each worker of Vitest. */
    knownPorts: number[];
  }
}

export default async function startAll(project: TestProject): Promise<() => Promise<void>> {
  if (!existsSync(CHROMIUM)) {
    throw new Error(
      `${CHROMIUM} is missing: on Debian, 'apt install chromium fonts-noto-core'; elsewhere name it in CHROMIUM`,
    );
  }
  const knownPorts = [await findFreePort(), await findFreePort()];
  const providerPort = await findFreePort();
  const issuer = `http://localhost:${providerPort}`;
  const words = ["--host", "localhost", "--port", String(providerPort), "--require-nonce"];
  const provider = spawn(join(PROGRAMS, "oidc-provider-mock"), words, { stdio: "ignore" });
  try {
    const server = await startServer({
      DROPBOX_HTTP__CORS_ORIGINS: JSON.stringify(knownPorts.map((port) => `http://localhost:${port}`)),
      DROPBOX_OIDC__ISSUER: issuer,
      DROPBOX_OIDC__CLIENT_ID: "dropbox",
      DROPBOX_OIDC__CLIENT_SECRET: "any",
    });
    project.provide("server", server.address);
    project.provide("serverProcess", server.process);
    project.provide("mailFolder", join(server.folder, "mail"));
    project.provide("provider", issuer);
    project.provide("knownPorts", knownPorts);
    return async () => {
      await stopProcess(provider);
      await server.stop();
    };
  } catch (error) {
    await stopProcess(provider);
    throw error;
  }
}

export interface RunningServer {
  address: string;
  /** Of `dropbox-api dev`. */
  process: number;
  /** Where it keeps its data. */
  folder: string;
  stop(): Promise<void>;
}

/** Start a server with an empty database and an empty store. */
export async function startServer(settings: Record<string, string> = {}): Promise<RunningServer> {
  const root = await mkdtemp(join(tmpdir(), "dropbox-api-e2e-"));
  await chmod(root, 0o711); // Postgres runs as an unprivileged user when the tests run as root
  const folder = join(root, "data");
  const server = spawn(COMMAND, ["dev", "--data", folder, "--port", String(await findFreePort())], {
    cwd: root,
    env: { ...process.env, ...SETTINGS, ...settings },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const stop = async () => {
    await stopProcess(server);
    const error = await findError(join(folder, "api", "serve.log"));
    await rm(root, { recursive: true });
    if (error) throw new Error(`the server failed unexpectedly:\n${error}`);
  };
  try {
    return { address: await readAddress(server), process: server.pid ?? 0, folder, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

const SETTINGS = {
  // All tests sign in from one address.
  DROPBOX_LIMITS__REGISTER_ADDRESS: "",
  DROPBOX_LIMITS__SIGN_IN_ADDRESS: "",
  // In the long tests access tokens and signed URLs end while an upload runs.
  ...(process.env.E2E === "long" && {
    DROPBOX_AUTH__ACCESS_TTL_S: "30",
    DROPBOX_UPLOADS__URL_TTL_S: "120",
    DROPBOX_UPLOADS__DOWNLOAD_URL_TTL_S: "30",
  }),
};

function findFreePort(): Promise<number> {
  return new Promise((found, failed) => {
    const listener = createServer().once("error", failed);
    listener.listen(0, "127.0.0.1", () => {
      const address = listener.address();
      listener.close(() => found(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}

/** Return the address that the server prints when it is ready. */
function readAddress(server: ChildProcess): Promise<string> {
  return new Promise((found, failed) => {
    let output = "";
    const fail = (reason: string) => failed(new Error(`${COMMAND} dev ${reason}. It printed:\n${output}`));
    const timer = setTimeout(() => fail(`was not ready after ${START_MS / 1000} s`), START_MS);
    server.once("error", failed);
    server.once("exit", (code) => fail(`ended with code ${code}`));
    server.stdout?.on("data", (piece: Buffer) => {
      output += piece;
      const address = /runs at +(\S+)/.exec(output)?.[1];
      if (address !== undefined) {
        clearTimeout(timer);
        found(address);
      }
    });
  });
}

async function stopProcess(server: ChildProcess): Promise<void> {
  if (server.exitCode !== null || server.pid === undefined) return;
  const ended = new Promise((resolve) => server.once("exit", resolve));
  server.kill("SIGTERM");
  await ended;
}

/** Return what the API logged about the first request that it answered with an internal error, "" without any. */
async function findError(log: string): Promise<string> {
  const lines = existsSync(log) ? (await readFile(log, "utf8")).split("\n") : [];
  const first = lines.findIndex((line) => line.includes("unhandled error"));
  return first < 0 ? "" : lines.slice(first, first + 200).join("\n");
}
