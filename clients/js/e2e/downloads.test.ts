// Content that a page reads from the store, which has another origin.

import { randomBytes } from "node:crypto";
import { expect } from "vitest";
import { Account } from "../../../web/e2e/support/account.ts";
import { addAuthenticator } from "../../../web/e2e/support/authenticator.ts";
import { sha256 } from "../../../web/e2e/support/files.ts";
import { collectErrors, test } from "../../../web/e2e/support/test.ts";
import { openTab } from "./support/page.ts";

test("page signed in by a passkey reads a file, a range of it, a link, and an archive", async ({ context }) => {
  const account = await Account.create();
  const content = randomBytes(3_000_000);
  const file = await account.upload("a.bin", content);
  const { token } = await account.createLink(file, { mode: "download" });
  const page = await openTab(context);
  const errors = collectErrors(page);

  await addAuthenticator(page);
  const { email, password } = account;
  await page.evaluate(([email, password]) => window.client.signIn(email, password), [email, password] as const);
  await page.evaluate(() => window.client.addPasskey("laptop"));
  await page.evaluate(() => window.page.auth.signOut());
  await page.evaluate(() => window.page.auth.signInWithPasskey({ temporary: true }));
  expect(await context.cookies()).toEqual([expect.objectContaining({ expires: -1 })]); // until the browser closes

  const hashes = await page.evaluate(
    async ([fileId, link]) => {
      const { createArchiveUrl, openContent } = window.dropbox;
      const hash = async (stream: BodyInit) => {
        const digest = await crypto.subtle.digest("SHA-256", await new Response(stream).arrayBuffer());
        return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
      };
      const whole = await openContent(window.page, { fileId });
      const range = await openContent(window.page, { fileId }, { start: 1_000_000, end: 1_000_003 });
      const linked = await openContent(window.page, { fileId, link });
      const archive = await fetch(await createArchiveUrl(window.page, { ids: [fileId] }));
      const starts = new TextDecoder().decode((await archive.arrayBuffer()).slice(0, 2));
      return [
        whole.info.fingerprint,
        await hash(whole.stream),
        await hash(range.stream),
        await hash(linked.stream),
        starts,
      ];
    },
    [file.id, token] as const,
  );
  const part = sha256(content.subarray(1_000_000, 1_000_003));
  expect(hashes).toEqual([sha256(content), sha256(content), part, sha256(content), "PK"]);
  expect(errors).toEqual([]);
});
