// The tabs of one browser: one session, one refresh, one stream of events.

import { type BrowserContext, chromium, type Page } from "playwright-core";
import { expect } from "vitest";
import { Account, server } from "../../../web/e2e/support/account.ts";
import { OPTIONS } from "../../../web/e2e/support/chromium.ts";
import { test } from "../../../web/e2e/support/test.ts";
import { openTab } from "./support/page.ts";

declare global {
  interface Window {
    /** Names of the files of the events so far. */
    seen: string[];
    /** Code of the problem that ended the events. */
    end: string;
  }
}

/** Collect the paths below `/v1/` that the tabs request. */
function watchRequests(context: BrowserContext): { count(path: string): number } {
  const paths: string[] = [];
  context.on("request", (request) => paths.push(new URL(request.url()).pathname));
  return { count: (path) => paths.filter((requested) => requested === path).length };
}

function signIn(page: Page, { email, password }: Account): Promise<string> {
  return page.evaluate(([email, password]) => window.page.auth.signIn(email, password), [email, password] as const);
}

async function watchEvents(page: Page): Promise<void> {
  await page.evaluate(async () => {
    const { cursor } = (await window.page.api.GET("/v1/events/cursor")).data;
    window.seen = [];
    const collect = async () => {
      for await (const { event } of window.dropbox.watchEvents(window.page, { cursor })) {
        window.seen.push(event.file?.name ?? "");
      }
    };
    collect().catch((error: unknown) => {
      window.end = error instanceof window.dropbox.ApiProblem ? error.code : String(error);
    });
  });
}

async function expectEvents(page: Page, names: string[]): Promise<void> {
  await page.waitForFunction((count) => window.end || window.seen.length >= count, names.length);
  expect(await page.evaluate(() => [window.end, ...window.seen])).toEqual([undefined, ...names]);
}

test("tabs share one refresh and one stream of events, and a sign-out ends both", async ({ context }) => {
  const account = await Account.create();
  const requests = watchRequests(context);
  const first = await openTab(context);
  await signIn(first, account);
  const second = await openTab(context);
  const state = await second.evaluate(() => window.page.auth.restore());
  expect(state).toEqual({ status: "signed-in", userId: expect.any(String) });
  expect(requests.count("/v1/auth/refresh")).toBe(0); // the first tab has a token
  const shared = await first.evaluate(() => window.page.auth.getToken());
  const refuse = (token: string | null) => window.page.auth.getToken(token ?? "");
  const tokens = await Promise.all([first.evaluate(refuse, shared), second.evaluate(refuse, shared)]);
  expect(requests.count("/v1/auth/refresh")).toBe(1);
  expect(tokens[0]).toBe(tokens[1]);
  expect(tokens[0]).not.toBe(shared);

  await watchEvents(first);
  await watchEvents(second);
  await account.upload("a.txt", new Uint8Array(1));
  await expectEvents(first, ["a.txt"]);
  await expectEvents(second, ["a.txt"]);
  expect(requests.count("/v1/events/stream")).toBe(1);
  await first.close();
  await account.upload("b.txt", new Uint8Array(2));
  await expectEvents(second, ["a.txt", "b.txt"]);
  expect(requests.count("/v1/events/stream")).toBe(2);

  const third = await openTab(context);
  await watchEvents(third);
  await second.evaluate(() => window.page.auth.signOut());
  await third.waitForFunction(() => window.page.auth.state.status === "signed-out");
  await third.waitForFunction(() => window.end);
  expect(await third.evaluate(() => window.end)).toBe("unauthenticated");
  expect(await context.cookies()).toEqual([]);
});

test("tab of one user notices the sign-in of another one", async ({ context }) => {
  const [ada, bob] = [await Account.create(), await Account.create()];
  const [first, second] = [await openTab(context), await openTab(context)];
  await signIn(first, ada);
  await second.waitForFunction(() => window.page.auth.state.status === "signed-in");
  const userId = await signIn(second, bob);
  await first.waitForFunction(() => window.page.auth.state.status === "replaced");
  expect(await first.evaluate(() => window.page.auth.state)).toEqual({ status: "replaced", userId });
  await first.reload();
  expect(await first.evaluate(() => window.page.auth.restore())).toEqual({ status: "signed-in", userId });
});

test("page over http on a local network, without locks, refreshes and gets events", async () => {
  const args = [...(OPTIONS.args ?? []), "--host-resolver-rules=MAP files.lan 127.0.0.1"];
  const browser = await chromium.launch({ ...OPTIONS, args });
  try {
    const account = await Account.create();
    const context = await browser.newContext();
    const requests = watchRequests(context);
    const page = await openTab(context, `http://files.lan:${new URL(server).port}`);
    expect(await page.evaluate(() => [isSecureContext, "locks" in navigator])).toEqual([false, false]);
    await signIn(page, account);
    await page.reload();
    await page.evaluate(() => Promise.all(["", "", ""].map(() => window.page.api.GET("/v1/me"))));
    expect(requests.count("/v1/auth/refresh")).toBe(1);
    await watchEvents(page);
    await account.upload("a.txt", new Uint8Array(1));
    await expectEvents(page, ["a.txt"]);
  } finally {
    await browser.close();
  }
});
