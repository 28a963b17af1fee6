// Previews whose URLs expire while they are shown: run by `make e2e-long`, where such URLs live for 30 s.

import type { Page } from "playwright-core";
import { expect } from "vitest";
import { Account } from "./support/account.ts";
import { poll, signIn, test } from "./support/app.ts";
import { makeNoisePdf, makeSound } from "./support/media.ts";

/** Longer than what the browser reads ahead. */
const LENGTH_S = 11_000;
const PAGES = 20;

const preview = (page: Page, name: string) => page.getByRole("dialog", { name: `Preview of ${name}` });

test("sound plays on from its position, and a document shows its last page, after their URLs have expired", async ({
  page,
  context,
}) => {
  const account = await Account.create();
  const file = await account.upload("a.wav", makeSound(LENGTH_S));
  await account.upload("b.pdf", await makeNoisePdf(context, PAGES));
  const urls = new Set<string>();
  page.on("request", (request) => {
    if (request.url().includes("/blobs/")) urls.add(request.url());
  });
  const opened = page.waitForResponse((answer) => answer.url().includes("X-Amz-Expires"));
  await signIn(page, account, `/files?preview=${file.id}`);
  const audio = preview(page, "a.wav").locator("audio");
  await poll(() => audio.evaluate((media: HTMLAudioElement) => Math.round(media.duration))).toBe(LENGTH_S);
  await audio.evaluate((media: HTMLAudioElement) => media.play());

  await waitUntilExpired((await opened).url());
  await audio.evaluate((media: HTMLAudioElement, position) => {
    media.currentTime = position;
  }, LENGTH_S - 60);
  await poll(() => audio.evaluate((media: HTMLAudioElement) => media.currentTime)).toBeGreaterThan(LENGTH_S - 59);
  expect(await audio.evaluate((media: HTMLAudioElement) => media.paused)).toBe(false);
  expect(urls.size).toBe(2);

  const openedPdf = page.waitForResponse((answer) => /X-Amz-Expires/.test(answer.url()) && answer.status() === 206);
  await page.keyboard.press("ArrowRight");
  await preview(page, "b.pdf").getByText("Page 1.").waitFor();
  await waitUntilExpired((await openedPdf).url());
  await preview(page, "b.pdf")
    .getByRole("region", { name: `Page ${PAGES} of ${PAGES}` })
    .scrollIntoViewIfNeeded();
  await preview(page, "b.pdf").getByText(`Page ${PAGES}.`).waitFor();
  expect(urls.size).toBe(4);
});

async function waitUntilExpired(url: string): Promise<void> {
  await expect.poll(async () => (await fetch(url)).status, { timeout: 120_000, interval: 1000 }).toBe(403);
}
