// A site of its own origin: the example page, a page for tests, and the package as `npm run build` makes it.

import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { resolve } from "node:path";
import { rolldown } from "rolldown";
import { Account, server } from "../../../../web/e2e/support/account.ts";
import { getKnownPort } from "../../../../web/e2e/support/foreign.ts";
import config from "../../rolldown.config.ts";

const ROOT = resolve(import.meta.dirname, "../../../..");
const PACKAGE = "/clients/js/dist";
const EXAMPLE = "/examples/upload.html";

export interface Site {
  origin: string;
  /** Origin of the store, as an issued URL names it. */
  store: string;
  close(): void;
}

/** A page that the tests drive. */
const makeTestPage = (script: string) => `<!doctype html><meta charset="utf-8"><title>Test</title>
<input type="file" multiple><script type="module" src="${script}"></script>`;

/** The script of this page: it loads the package from an address and puts its functions into `window.dbx`. */
const makeTestScript = (from: string) => `import * as api from "${from}/index.js";
import * as upload from "${from}/upload.js";
window.dbx = { ...api, ...upload };`;

/** A page with Uppy's Dashboard. */
const UPPY_PAGE = `<!doctype html><meta charset="utf-8"><title>Uppy</title><link rel="stylesheet" href="/uppy.css">
<main></main><script type="module" src="${PACKAGE}/uppy_page.js"></script>`;

/** Open the site. The Content-Security-Policy of its pages is the one that docs/upload-engine.md recommends. */
export async function openSite(): Promise<Site> {
  const port = getKnownPort();
  const origin = `http://localhost:${port}`;
  /** The same site by another name: to a browser another origin. */
  const other = `http://127.0.0.1:${port}`;
  const example = await readFile(`${ROOT}${EXAMPLE}`, "utf8");
  const pages = new Map([
    ["/test", makeTestPage("/test.js")],
    ["/other", makeTestPage("/other.js")],
    ["/uppy", UPPY_PAGE],
    [EXAMPLE, example],
  ]);
  const scripts = await buildPackage();
  scripts.set(`${PACKAGE}/uppy_page.js`, await buildUppyPage());
  scripts.set("/test.js", makeTestScript(PACKAGE));
  scripts.set("/other.js", makeTestScript(other + PACKAGE));
  const store = await readStoreOrigin();
  const policy = await readPolicy(store);
  const policies = new Map([
    ["/other", policy.replace("script-src", `script-src ${other}`).replace("worker-src", `worker-src blob: ${other}`)],
    ["/uppy", `${policy}; style-src 'self'; img-src data: blob:`],
    [EXAMPLE, policy.replace("script-src", `script-src ${hashScript(example)}`)],
  ]);
  const styles = await readUppyStyles();
  const site = createServer((request, answer) => {
    const path = new URL(request.url ?? "/", origin).pathname;
    const [page, script] = [pages.get(path), scripts.get(path)];
    answer.setHeader("Content-Security-Policy", `default-src 'none'; ${policies.get(path) ?? policy}`);
    answer.setHeader("Access-Control-Allow-Origin", "*");
    if (page !== undefined) answer.setHeader("Content-Type", "text/html").end(page);
    else if (script !== undefined) answer.setHeader("Content-Type", "text/javascript").end(script);
    else if (path === "/uppy.css") answer.setHeader("Content-Type", "text/css").end(styles);
    else answer.writeHead(path === "/favicon.ico" ? 204 : 404).end();
  });
  await new Promise<void>((listening) => site.listen(port, "127.0.0.1", listening));
  return {
    origin,
    store,
    close: () => {
      site.closeAllConnections();
      site.close();
    },
  };
}

/** Return the Content-Security-Policy of the documentation, with the addresses of this server and its store. */
async function readPolicy(store: string): Promise<string> {
  const documentation = await readFile(`${ROOT}/docs/upload-engine.md`, "utf8");
  const [policy] = /script-src [^`]+ connect-src API STORE(?=`)/.exec(documentation) ?? [];
  if (!policy) throw new Error("docs/upload-engine.md has no policy");
  return policy.replace("API", server).replace("STORE", store);
}

/** Return the source by which a policy allows the inline script of a page. */
function hashScript(page: string): string {
  const script = /<script type="module">(.*?)<\/script>/s.exec(page)?.[1] ?? "";
  return `'sha256-${createHash("sha256").update(script).digest("base64")}'`;
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

async function readStoreOrigin(): Promise<string> {
  const account = await Account.create();
  const file = await account.upload("probe", new Uint8Array(1));
  return new URL((await account.call<{ url: string }>("GET", `/v1/files/${file.id}/download`)).url).origin;
}
