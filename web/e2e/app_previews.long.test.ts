// Previews whose signed URLs expire: run by `make e2e-long`, where the store refuses a URL after 30 s.

import type { Page } from "playwright-core";
import { expect } from "vitest";
import { Account } from "./support/account.ts";
import { poll, signIn, test } from "./support/app.ts";
import { makePdf, makeSound } from "./support/media.ts";

const preview = (page: Page, name: string) => page.getByRole("dialog", { name: `Preview of ${name}` });

/** Wait until the store refuses a URL, as it does when the time in it has passed. */
async function waitUntilExpired(url: string): Promise<void> {
  const read = async () => (await fetch(url, { headers: { Range: "bytes=0-0" } })).status;
  await expect.poll(read, { timeout: 600_000, interval: 1000 }).toBe(403);
}

test.for(["plays", "is paused"])(
  "sound whose URL expires while it %s goes on from where the person jumps to",
  async (state, { page }) => {
    const account = await Account.create();
    const file = await account.upload("hours.wav", makeSound(4 * 3600)); // longer than what the browser reads ahead
    await signIn(page, account, `/files?preview=${file.id}`);
    const audio = preview(page, "hours.wav").locator("audio");
    const isPlaying = state === "plays";
    await poll(() => audio.evaluate((media: HTMLAudioElement) => Math.round(media.duration))).toBe(4 * 3600);
    for (const position of [5000, 8000, 11000]) {
      if (isPlaying) await audio.evaluate((media: HTMLAudioElement) => media.play());
      const url = await audio.evaluate((media: HTMLAudioElement) => media.src);
      await waitUntilExpired(url);
      await audio.evaluate((media: HTMLAudioElement, position) => {
        media.currentTime = position;
      }, position);
      await page.waitForFunction(
        ({ url, position, isPlaying }) => {
          const media = document.querySelector("audio");
          if (!media || media.src === url || media.seeking || media.readyState < 3) return false;
          return media.paused !== isPlaying && media.currentTime >= position + (isPlaying ? 1 : 0);
        },
        { url, position, isPlaying },
      );
    }
  },
);

test("PDF whose URL expires shows the pages that were not read before", async ({ page, context }) => {
  const account = await Account.create();
  const texts = Array.from({ length: 400 }, (_, index) => `Page of ${"words ".repeat(300)} number ${index + 1}.`);
  const file = await account.upload("book.pdf", await makePdf(context, ...texts));
  const refused: string[] = [];
  const urls: string[] = [];
  page.on("response", (response) => {
    if (!response.url().includes("X-Amz-Signature") || response.request().method() !== "GET") return;
    (response.status() === 403 ? refused : urls).push(response.url());
  });
  await signIn(page, account, `/files?preview=${file.id}`);
  await preview(page, "book.pdf").getByText("number 1.").waitFor();
  await waitUntilExpired(urls[0] ?? "");
  await preview(page, "book.pdf").getByRole("region", { name: "Page 300 of 400" }).scrollIntoViewIfNeeded();
  await preview(page, "book.pdf").getByText("number 300.").waitFor();
  expect(refused.length).toBeGreaterThan(0);
});
