// Previews whose URLs expire while they are shown: run by `make e2e-long`, where such URLs live for 30 s.

import type { Page } from "playwright-core";
import { expect } from "vitest";
import { Account } from "./support/account.ts";
import { poll, signIn, test } from "./support/app.ts";
import { makeNoisePdf, makeSound } from "./support/media.ts";

const HOUR_S = 3600;
const PAGES = 20;

const preview = (page: Page, name: string) => page.getByRole("dialog", { name: `Preview of ${name}` });

test("sound plays on from its position, and a document shows its last page, after their URLs have expired", async ({
  page,
  context,
}) => {
  const account = await Account.create();
  const file = await account.upload("a.wav", makeSound(HOUR_S));
  await account.upload("b.pdf", await makeNoisePdf(context, PAGES));
  const refused: string[] = [];
  page.on("response", (answer) => {
    if (answer.status() === 403) refused.push(answer.url());
  });
  const opened = page.waitForResponse((answer) => answer.url().includes("X-Amz-Expires"));
  await signIn(page, account, `/files?preview=${file.id}`);
  const audio = preview(page, "a.wav").locator("audio");
  await poll(() => audio.evaluate((media: HTMLAudioElement) => Math.round(media.duration))).toBe(HOUR_S);
  await audio.evaluate((media: HTMLAudioElement) => media.play());

  await waitUntilExpired((await opened).url());
  await audio.evaluate((media: HTMLAudioElement, position) => {
    media.currentTime = position;
  }, HOUR_S - 60);
  await poll(() => audio.evaluate((media: HTMLAudioElement) => media.currentTime)).toBeGreaterThan(HOUR_S - 59);
  expect(await audio.evaluate((media: HTMLAudioElement) => media.paused)).toBe(false);
  expect(refused).toHaveLength(1);

  const openedPdf = page.waitForResponse((answer) => /X-Amz-Expires/.test(answer.url()) && answer.status() === 206);
  await page.keyboard.press("ArrowRight");
  await preview(page, "b.pdf").getByText("Page 1.").waitFor();
  await waitUntilExpired((await openedPdf).url());
  await preview(page, "b.pdf")
    .getByRole("region", { name: `Page ${PAGES} of ${PAGES}` })
    .scrollIntoViewIfNeeded();
  await preview(page, "b.pdf").getByText(`Page ${PAGES}.`).waitFor();
  expect(refused.length).toBeGreaterThan(1);
});

async function waitUntilExpired(url: string): Promise<void> {
  await expect.poll(async () => (await fetch(url)).status, { timeout: 120_000, interval: 1000 }).toBe(403);
}
