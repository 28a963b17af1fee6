// A page of another site, as docs/web-uploads.md describes it: its script is the one of that page.

import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import type { Page } from "playwright-core";
import { expect } from "vitest";
import { Account, server } from "./support/account.ts";
import { MIB, sha256 } from "./support/files.ts";
import { getKnownPort, openForeignSite } from "./support/foreign.ts";
import { test } from "./support/test.ts";

/** The function of the documentation, which the page has as a global one. */
declare function send(server: string, token: string, file: File): Promise<{ state: string }>;

test("page of another site uploads with a token of its own server, and does nothing else with it", async ({
  page,
  context,
}) => {
  const account = await Account.create();
  const inbox = await account.createFolder("Inbox");
  const secret = await account.upload("secret.txt", randomBytes(10), inbox);
  const personal = await account.call<{ id: string; token: string }>("POST", "/v1/me/tokens", {
    name: "site",
    scopes: ["files:write"],
  });
  const site = await openForeignSite(getKnownPort(), () => askForToken(personal.token, inbox.id));
  const stranger = await openForeignSite();
  try {
    await openPage(page, site.url);
    const contents = [randomBytes(50_000), randomBytes(20 * MIB)];
    const sent: string[] = [];
    page.on("request", (request) => request.method() === "PUT" && sent.push(new URL(request.url()).origin));
    await page.setInputFiles(
      "input",
      contents.map((buffer, number) => ({ name: `${number}.bin`, mimeType: "image/jpeg", buffer })),
    );
    const { token, states } = await page.evaluate(async (server) => {
      const { token } = await (await fetch("/token", { method: "POST" })).json();
      const states = [];
      for (const file of document.querySelector("input")?.files ?? []) {
        states.push((await send(server, token, file)).state);
      }
      return { token: token as string, states };
    }, server);
    expect(states).toEqual(["completed", "completed"]);
    const files = (await account.list(inbox)).filter(({ id }) => id !== secret.id);
    expect(files).toMatchObject(contents.map((one, n) => ({ name: `${n}.bin`, fingerprint: sha256(one) })));
    for (const [number, file] of files.entries()) {
      expect(await account.hashDownload(file)).toBe(sha256(contents[number] as Buffer));
    }
    expect(sent.length).toBeGreaterThan(2);
    expect(sent).not.toContain(new URL(server).origin);

    const link = `/v1/public/links/${token}`;
    const others = ["/v1/me", "/v1/files", `/v1/files/${secret.id}/download`, "/v1/upload-tokens"];
    expect(await ask(page, others, token)).toEqual(others.map(() => 401));
    const asLink = [link, `${link}/files`, `${link}/files/${secret.id}/download`, `${link}/archive`];
    expect(await ask(page, asLink)).toEqual(asLink.map(() => 404));

    const unknown = await context.newPage();
    await openPage(unknown, stranger.url);
    await expect(upload(unknown, token)).rejects.toThrow("Failed to fetch");

    await account.call("DELETE", `/v1/me/tokens/${personal.id}`);
    await expect(upload(page, token)).rejects.toThrow("does not exist");
  } finally {
    site.close();
    stranger.close();
  }
});

/** Ask for an upload token, as the server of the site does. */
async function askForToken(personal: string, folder: string): Promise<unknown> {
  const body = JSON.stringify({ parent_id: folder, max_bytes: 21 * MIB, expires_in_s: 60 });
  const headers = { Authorization: `Bearer ${personal}`, "Content-Type": "application/json" };
  return (await fetch(`${server}/v1/upload-tokens`, { method: "POST", headers, body })).json();
}

/** Open the page of a site with the script of the documentation. */
async function openPage(page: Page, url: string): Promise<void> {
  const documentation = await readFile(resolve(import.meta.dirname, "../../docs/web-uploads.md"), "utf8");
  await page.goto(url);
  await page.addScriptTag({ content: /```js\n(.*?)```/s.exec(documentation)?.[1] ?? "" });
}

function upload(page: Page, token: string): Promise<unknown> {
  return page.evaluate(([server, token]) => send(server, token, new File(["x"], "x")), [server, token] as const);
}

/** Return the statuses of requests of the page, with the token as that of an account where it is given. */
function ask(page: Page, paths: string[], bearer?: string): Promise<number[]> {
  return page.evaluate(
    ([server, paths, bearer]) => {
      const headers: HeadersInit = bearer ? { Authorization: `Bearer ${bearer}` } : {};
      return Promise.all(paths.map(async (path) => (await fetch(server + path, { headers })).status));
    },
    [server, paths, bearer] as const,
  );
}
