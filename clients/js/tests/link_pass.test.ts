// Passes of links: when the password is asked for, and which requests carry a pass.

import { afterEach, expect, test, vi } from "vitest";
import { createClient, linkPass } from "../src/index.ts";
import { FakeServer, problem } from "./support/fake_server.ts";

const HOUR_MS = 3_600_000;

afterEach(() => {
  vi.useRealTimers();
});

/** A server with one link: it takes the passes that it has issued for the right password, or renewed. */
function openServer() {
  const passes = new Set<string>();
  const server = new FakeServer(({ path, headers, body }) => {
    const pass = headers.get("X-Link-Pass") ?? "";
    if (!path.endsWith("/pass")) return passes.has(pass) ? Response.json({}) : problem(401, "link-password-required");
    const { password } = JSON.parse(body) as { password?: string };
    const isOpen = password === undefined ? passes.has(pass) : password === "right";
    if (!isOpen) return problem(401, "link-password-required");
    const issued = `pass ${passes.size + 1}`;
    passes.add(issued);
    return Response.json({ link_pass: issued, expires_at: new Date(Date.now() + HOUR_MS).toISOString() });
  });
  return { server, passes };
}

function openLink(server: FakeServer, passwords: string[]) {
  const asked: (string | null)[] = [];
  const getPassword = async (refused: string | null) => {
    asked.push(refused);
    return passwords[asked.length - 1] ?? "right";
  };
  const client = createClient({ ...server.options, auth: linkPass("t", { getPassword }) });
  const getLink = (token = "t") => client.api.GET("/v1/public/links/{token}", { params: { path: { token } } });
  return { asked, client, getLink };
}

test("password of a link is asked for once, again after a wrong one, and sent to the exchange alone", async () => {
  const { server } = openServer();
  const { asked, getLink } = openLink(server, ["wrong", "right"]);
  await Promise.all([getLink(), getLink()]);
  await getLink();
  expect(asked).toEqual([null, "wrong"]);
  const link = "/v1/public/links/t";
  expect(server.requests.map(({ path }) => path)).toEqual([`${link}/pass`, `${link}/pass`, link, link, link]);
  expect(server.requests.slice(2).map(({ headers }) => headers.get("X-Link-Pass"))).toEqual(Array(3).fill("pass 1"));
});

test("password that is wrong twice is the problem of the call", async () => {
  const { server } = openServer();
  const { getLink } = openLink(server, ["wrong", "wrong"]);
  await expect(getLink()).rejects.toMatchObject({ code: "link-password-required" });
});

test("pass is renewed before it ends, and asked for again where the server refuses it", async () => {
  vi.useFakeTimers({ toFake: ["Date"] });
  const { server, passes } = openServer();
  const { asked, getLink } = openLink(server, []);
  await getLink();
  vi.setSystemTime(Date.now() + 0.6 * HOUR_MS);
  await getLink();
  expect(server.requests.at(-1)?.headers.get("X-Link-Pass")).toBe("pass 2");
  expect(asked).toHaveLength(1);
  passes.clear();
  await getLink();
  expect(asked).toHaveLength(2);
});

test("renewal that fails leaves the pass as it is, and is not repeated with each request", async () => {
  vi.useFakeTimers({ toFake: ["Date"] });
  const { server, passes } = openServer();
  const { getLink } = openLink(server, []);
  await getLink();
  vi.setSystemTime(Date.now() + 0.6 * HOUR_MS);
  passes.clear();
  passes.add("other");
  const before = server.requests.length;
  await getLink().catch(() => undefined);
  const renewals = server.requests.slice(before).filter(({ path, body }) => path.endsWith("/pass") && body === "{}");
  expect(renewals).toHaveLength(1);
});

test("pass goes to its own link alone", async () => {
  const { server } = openServer();
  const { client, getLink } = openLink(server, []);
  await getLink();
  server.takePaths();
  await getLink("t2").catch(() => undefined);
  await client.api.GET("/v1/me").catch(() => undefined);
  await client.send("/v1/public/links/t/files");
  expect(server.requests.map(({ headers }) => headers.get("X-Link-Pass"))).toEqual([null, null, "pass 1"]);
});
