// A site of its own origin: the example page, a page for tests, and the package as `npm run build` makes it.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { resolve } from "node:path";
import { rolldown } from "rolldown";
import { inject } from "vitest";
import { Account, server } from "../../../../web/e2e/support/account.ts";
import config from "../../rolldown.config.ts";

const ROOT = resolve(import.meta.dirname, "../../../..");
const PACKAGE = "/clients/js/dist";

export interface Site {
  origin: string;
  close(): void;
}

/** A page that the tests drive: it loads the package and puts its functions into `window.dbx`. */
const makeTestPage = (from: string) => `<!doctype html><meta charset="utf-8"><title>Test</title>
<input type="file" multiple>
<script type="module">
  import * as api from "${from}/index.js";
  import * as upload from "${from}/upload.js";
  window.dbx = { ...api, ...upload };
</script>`;

/** A page with Uppy's Dashboard. */
const UPPY_PAGE = `<!doctype html><meta charset="utf-8"><title>Uppy</title><style>@import "/uppy.css";</style>
<main></main><script type="module" src="${PACKAGE}/uppy_page.js"></script>`;

/** Open the site. Its Content-Security-Policy is the one of docs/upload-engine.md. */
export async function openSite(): Promise<Site> {
  const port = inject("knownPort");
  const origin = `http://localhost:${port}`;
  const files = await buildPackage();
  files.set(`${PACKAGE}/uppy_page.js`, await buildUppyPage());
  const store = await readStoreOrigin();
  /** The same site by another name: to a browser another origin. */
  const other = `http://127.0.0.1:${port}`;
  const makePolicy = (isOther: boolean) =>
    [
      "default-src 'none'",
      `script-src 'self' 'unsafe-inline' 'wasm-unsafe-eval' ${isOther ? other : ""}`,
      `worker-src ${isOther ? `blob: ${other}` : "'self'"}`,
      "style-src 'self' 'unsafe-inline'",
      "img-src 'self' data: blob:",
      `connect-src ${server} ${store}`,
    ].join("; ");
  const site = createServer(async (request, answer) => {
    const path = new URL(request.url ?? "/", origin).pathname;
    const script = files.get(path);
    answer.setHeader("Content-Security-Policy", makePolicy(path === "/other"));
    answer.setHeader("Access-Control-Allow-Origin", "*");
    if (script !== undefined) answer.setHeader("Content-Type", "text/javascript").end(script);
    else if (path === "/other") answer.setHeader("Content-Type", "text/html").end(makeTestPage(other + PACKAGE));
    else if (path === "/uppy") answer.setHeader("Content-Type", "text/html").end(UPPY_PAGE);
    else if (path === "/uppy.css") answer.setHeader("Content-Type", "text/css").end(await readUppyStyles());
    else if (path === "/test") answer.setHeader("Content-Type", "text/html").end(makeTestPage(PACKAGE));
    else if (path === "/examples/upload.html") {
      answer.setHeader("Content-Type", "text/html").end(await readFile(`${ROOT}${path}`));
    } else answer.writeHead(path === "/favicon.ico" ? 204 : 404).end();
  });
  await new Promise<void>((listening) => site.listen(port, "127.0.0.1", listening));
  return {
    origin,
    close: () => {
      site.closeAllConnections();
      site.close();
    },
  };
}

async function buildPackage(): Promise<Map<string, string>> {
  const cwd = resolve(import.meta.dirname, "../..");
  const output = [config.output].flat()[0];
  const built = await (await rolldown({ ...config, cwd, logLevel: "silent" })).generate(output);
  return new Map(built.output.map((file) => [`${PACKAGE}/${file.fileName}`, "code" in file ? file.code : ""]));
}

/** Bundle the page with Uppy as an application does; its worker lies beside it. */
async function buildUppyPage(): Promise<string> {
  const input = resolve(import.meta.dirname, "uppy_page.ts");
  const bundle = await rolldown({ input, platform: "browser", logLevel: "silent" });
  const { output } = await bundle.generate({ format: "esm", codeSplitting: false });
  return output[0].code;
}

async function readUppyStyles(): Promise<string> {
  const read = (name: string) => readFile(`${ROOT}/node_modules/@uppy/${name}/dist/style.min.css`, "utf8");
  return (await read("core")) + (await read("dashboard"));
}

/** Return the origin of the store, as an issued URL names it. */
async function readStoreOrigin(): Promise<string> {
  const account = await Account.create();
  const file = await account.upload("probe", new Uint8Array(1));
  return new URL((await account.call<{ url: string }>("GET", `/v1/files/${file.id}/download`)).url).origin;
}
