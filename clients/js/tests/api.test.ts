// The typed client: tokens, problems, and lost answers.

import { expect, test } from "vitest";
import { ApiProblem, bearer, ConnectionProblem, createClient, isProblem } from "../src/index.ts";
import { FakeServer, problem } from "./support/fake_server.ts";

test("call with a refused token gets another one and sends the same request again", async () => {
  const server = new FakeServer(({ headers }) =>
    headers.get("Authorization") === "Bearer 2" ? Response.json({ id: "x" }) : problem(401, "unauthenticated"),
  );
  let count = 0;
  const client = createClient({ ...server.options, auth: bearer(async () => `${++count}`) });
  const { data } = await client.api.POST("/v1/folders", { body: { name: "a" } });
  expect(data.id).toBe("x");
  await client.api.GET("/v1/me");
  expect(server.requests.map(({ method, path, token, body }) => [method, path, token, body])).toEqual([
    ["POST", "/v1/folders", "1", '{"name":"a"}'],
    ["POST", "/v1/folders", "2", '{"name":"a"}'],
    ["GET", "/v1/me", "2", ""],
  ]);
});

test("call without another token throws the problem of the server", async () => {
  const server = new FakeServer(() => problem(401, "unauthenticated"));
  const client = createClient({ ...server.options, auth: bearer("pat") });
  const error = await client.api.GET("/v1/me").catch((error: unknown) => error);
  expect(error).toBeInstanceOf(ApiProblem);
  expect(error).toMatchObject({ status: 401, code: "unauthenticated", retryAfterS: null });
  expect(server.requests).toHaveLength(1);
});

test("public operations carry no token", async () => {
  const server = new FakeServer(() => Response.json({}));
  const client = createClient({ ...server.options, auth: bearer("pat") });
  await client.api.GET("/v1/public/links/{token}", { params: { path: { token: "t" } } });
  await client.api.GET("/v1/auth/oidc");
  await client.api.POST("/v1/auth/verify-email/request");
  expect(server.requests.map(({ token }) => token)).toEqual([null, null, "pat"]);
});

test("token goes to the server alone, whatever the path says", async () => {
  const server = new FakeServer(() => Response.json({}));
  const client = createClient({ ...server.options, auth: bearer("pat") });
  for (const path of [".evil.example/v1/me", ":1/v1/me", "/v1/me"]) await client.send(path);
  await client.api.GET("/v1/me", { baseUrl: "https://evil.example" });
  expect(server.requests.map(({ token }) => token)).toEqual([null, null, "pat", null]);
});

test.each([
  ["a problem with a wait", problem(429, "rate-limited", { retry_after_s: 7 }), "rate-limited", 7, false],
  [
    "a wait in the header",
    new Response("{}", { status: 503, headers: { "Retry-After": "3" } }),
    "internal-error",
    3,
    true,
  ],
  ["the page of a proxy", new Response("<h1>Bad gateway</h1>", { status: 502 }), "internal-error", null, true],
  ["a page of 404", new Response("", { status: 404 }), "not-found", null, false],
])("answer with %s becomes an ApiProblem", async (_, answer, code, retryAfterS, retryable) => {
  const client = createClient(new FakeServer(() => answer).options);
  await expect(client.api.GET("/v1/me")).rejects.toMatchObject({ code, retryAfterS, retryable });
});

test("problem narrows to the members of its code", async () => {
  const server = new FakeServer(() => problem(410, "cursor-expired", { reason: "restored" }));
  const error = await createClient(server.options)
    .api.GET("/v1/events")
    .catch((error: unknown) => error);
  // The compiler knows the member only after the check.
  expect(isProblem(error, "cursor-expired") && error.problem.reason).toBe("restored");
});

test("request without an answer throws a ConnectionProblem, an aborted one the reason", async () => {
  const lost = createClient(new FakeServer(() => Promise.reject(new TypeError("Failed to fetch"))).options);
  await expect(lost.api.GET("/v1/me")).rejects.toBeInstanceOf(ConnectionProblem);
  const aborted = lost.api.GET("/v1/me", { signal: AbortSignal.abort(new Error("left the page")) });
  await expect(aborted).rejects.toThrow("left the page");
});

test("answer that breaks off is a connection problem, as a missing one is", async () => {
  const server = new FakeServer(() => {
    const body = new ReadableStream({
      start(controller) {
        controller.enqueue(new TextEncoder().encode('{"id": '));
        controller.error(new TypeError("network error"));
      },
    });
    return new Response(body, { headers: { "Content-Type": "application/json" } });
  });
  const client = createClient(server.options);
  await expect(client.api.GET("/v1/me")).rejects.toThrow(ConnectionProblem);
});
