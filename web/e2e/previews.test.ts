// Content in a page, by the signed URL of `download?inline=true`.

import type { Page } from "playwright-core";
import { expect } from "vitest";
import { Account, type RemoteFile } from "./support/account.ts";
import { makePdf, makePhoto, makeSound, makeVideo } from "./support/media.ts";
import { test } from "./support/test.ts";

async function previewUrl(account: Account, file: RemoteFile): Promise<string> {
  return (await account.call<{ url: string }>("GET", `/v1/files/${file.id}/download?inline=true`)).url;
}

test("photo in a page is shown", async ({ app, context }) => {
  const account = await Account.create();
  const file = await account.upload("beach.jpg", await makePhoto(context, "Beach"));
  const width = await app.evaluate(
    async (url) => {
      const image = Object.assign(new Image(), { src: url });
      await image.decode();
      return image.naturalWidth;
    },
    await previewUrl(account, file),
  );
  expect(width).toBe(800);
});

test("video in a page plays", async ({ app, context }) => {
  const account = await Account.create();
  const file = await account.upload("waves.webm", await makeVideo(context));
  await showMedia(app, "video", await previewUrl(account, file));
  const video = await app.evaluate(async () => {
    const video = document.querySelector("video")!;
    video.muted = true;
    const ended = new Promise((resolve) => video.addEventListener("ended", resolve));
    await video.play();
    await ended;
    return { width: video.videoWidth, seconds: video.currentTime };
  });
  expect(video.width).toBe(320);
  expect(video.seconds).toBeGreaterThan(0.2);
});

test("sound in a page is fetched from where the listener jumps to", async ({ app }) => {
  const account = await Account.create();
  const sound = makeSound(3600);
  const file = await account.upload("hour.wav", sound);
  const firstBytes: number[] = [];
  app.on("response", async (response) => {
    const range = response.headers()["content-range"];
    if (response.status() === 206) firstBytes.push(Number(/\d+/.exec(range ?? "")?.[0]));
  });
  await showMedia(app, "audio", await previewUrl(account, file));
  const seconds = await app.evaluate(async () => {
    const audio = document.querySelector("audio")!;
    const jumped = new Promise((resolve) => audio.addEventListener("seeked", resolve));
    audio.currentTime = 3000;
    await jumped;
    return audio.currentTime;
  });
  expect(seconds).toBe(3000);
  expect(Math.max(...firstBytes)).toBeGreaterThan(sound.length / 2);
});

/** Add an element for the media and wait until it can be played. */
async function showMedia(page: Page, tag: "video" | "audio", url: string): Promise<void> {
  await page.evaluate(
    async ([tag, url]) => {
      const media = Object.assign(document.createElement(tag), { src: url });
      const ready = new Promise((resolve, reject) => {
        media.addEventListener("loadedmetadata", resolve);
        media.addEventListener("error", () => reject(new Error(media.error?.message)));
      });
      document.querySelector("main")?.append(media);
      await ready;
    },
    [tag, url] as const,
  );
}

test("PDF is read in ranges by the script of a page", async ({ app, context }) => {
  const account = await Account.create();
  const pdf = await makePdf(context, "Plan");
  const file = await account.upload("plan.pdf", pdf);
  const read = await app.evaluate(
    async (url) => {
      const answer = await fetch(url, { headers: { Range: "bytes=0-4" } });
      const { status, headers } = answer;
      const names = ["Accept-Ranges", "Content-Range", "Content-Type"];
      return { status, headers: names.map((name) => headers.get(name)), text: await answer.text() };
    },
    await previewUrl(account, file),
  );
  expect(read).toEqual({
    status: 206,
    headers: ["bytes", `bytes 0-4/${pdf.length}`, "application/pdf"],
    text: "%PDF-",
  });
});

test("page that a user stores is shown as text or saved, never run", async ({ page }) => {
  const account = await Account.create();
  const script = await account.upload("run.js", Buffer.from("document.title = 'run'"));
  await page.goto(await previewUrl(account, script));
  expect(await page.locator("body").textContent()).toBe("document.title = 'run'");
  const html = await account.upload("run.html", Buffer.from("<script>document.title = 'run'</script>"));
  const saved = page.waitForEvent("download");
  await page.goto(await previewUrl(account, html)).catch(() => undefined); // a download ends the navigation
  expect((await saved).suggestedFilename()).toBe("run.html");
});
