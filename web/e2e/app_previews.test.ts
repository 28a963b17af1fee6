// Previews in the app, of files that Chromium makes.

import type { Page } from "playwright-core";
import { expect } from "vitest";
import { Account } from "./support/account.ts";
import { poll, signIn, test } from "./support/app.ts";
import { makePdf, makePhoto, makeSound, makeVideo } from "./support/media.ts";

const bytes = (text: string) => Buffer.from(text) as Buffer<ArrayBuffer>;
const preview = (page: Page, name: string) => page.getByRole("dialog", { name: `Preview of ${name}` });

const HOSTILE = `# Notes

<script>document.title = "run"</script>
<img src="https://evil.example/x.png" onerror="document.title = 'run'">
<style>body { display: none }</style>
<form action="https://evil.example"><input name="password"></form>
<iframe src="https://evil.example"></iframe>
<object data="https://evil.example"></object><embed src="https://evil.example">
<link rel="stylesheet" href="https://evil.example"><meta http-equiv="refresh" content="0; https://evil.example">
<svg onload="document.title = 'run'"><a href="javascript:document.title='run'"><text>svg</text></a></svg>
<math><mtext><table><mglyph><style><img src onerror="document.title = 'run'"></style></mglyph></table></mtext></math>
<p style="position: fixed; inset: 0" onclick="document.title = 'run'" id="root">cover</p>

![beacon](https://evil.example/y.png) <https://example.org/> <a href="https://example.net/" onclick="document.title='run'">b</a>
[script](javascript:document.title='run') [data](data:text/html,run) [relative](/account)

| a | b |
|---|---|
| 1 | **2** |
`;
const FORBIDDEN =
  "script, img, style, form, input, iframe, object, embed, link, meta, svg, math, [style], [id], [onclick]";

test("files of all kinds are shown, one after the other by the arrow keys, and Back closes", async ({
  page,
  context,
}) => {
  const account = await Account.create();
  await account.upload("1.jpg", await makePhoto(context, "Beach"));
  await account.upload("2.webm", await makeVideo(context));
  await account.upload("3.wav", makeSound(60));
  await account.upload("4.pdf", await makePdf(context, "Plan of the house", "Cellar", "Roof"));
  await account.upload("5.py", bytes("def hello():\n    return 'world'  # greeting\n"));
  await account.upload("6.txt", bytes("plain words"));
  await account.upload("7.bin", bytes("\0\x01\x02"));
  await signIn(page, account);
  await page.getByRole("link", { name: "1.jpg", exact: true }).click();

  const photo = preview(page, "1.jpg").getByRole("img", { name: "1.jpg" });
  await poll(() => photo.evaluate((image: HTMLImageElement) => image.naturalWidth)).toBe(800);
  expect(await preview(page, "1.jpg").getByRole("button", { name: "Previous file" }).count()).toBe(0);

  await page.keyboard.press("ArrowRight");
  const video = preview(page, "2.webm").locator("video");
  await poll(() => video.evaluate((media: HTMLVideoElement) => media.videoWidth)).toBe(320);

  await page.keyboard.press("ArrowRight");
  const audio = preview(page, "3.wav").locator("audio");
  await poll(() => audio.evaluate((media: HTMLAudioElement) => Math.round(media.duration))).toBe(60);

  await page.keyboard.press("ArrowRight");
  await preview(page, "4.pdf").getByText("Plan of the house").waitFor();
  await preview(page, "4.pdf").getByRole("region", { name: "Page 3 of 3" }).scrollIntoViewIfNeeded();
  await preview(page, "4.pdf").getByText("Roof").waitFor();

  await page.keyboard.press("ArrowRight");
  await preview(page, "5.py").locator("[class*=token-keyword]").first().waitFor();

  await page.keyboard.press("ArrowRight");
  await preview(page, "6.txt").getByText("plain words").waitFor();
  await preview(page, "6.txt").getByRole("button", { name: "Next file" }).click();

  await preview(page, "7.bin").getByText("Files of this type cannot be shown here").waitFor();
  expect(await preview(page, "7.bin").getByRole("button", { name: "Next file" }).count()).toBe(0);
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    preview(page, "7.bin").getByRole("button", { name: "Download" }).last().click(),
  ]);
  expect(download.suggestedFilename()).toBe("7.bin");
  await preview(page, "7.bin").getByRole("button", { name: "Previous file" }).click();
  await preview(page, "6.txt").getByText("plain words").waitFor();

  await page.goBack();
  await page.getByRole("dialog").waitFor({ state: "detached" });
  expect(new URL(page.url()).pathname).toBe("/files");
});

test("file whose content is broken or empty says so, and can be downloaded", async ({ page }) => {
  const account = await Account.create();
  for (const name of ["1.jpg", "2.mp4", "3.mp3", "4.pdf"]) await account.upload(name, bytes(`no ${name}`));
  for (const name of ["5.jpg", "6.pdf", "7.mp4", "8.md", "9.txt"]) await account.upload(name, bytes(""));
  await signIn(page, account);
  await page.getByRole("link", { name: "1.jpg", exact: true }).click();
  for (const [name, text] of [
    ["1.jpg", "This browser cannot show the image"],
    ["2.mp4", "This browser cannot play the file"],
    ["3.mp3", "This browser cannot play the file"],
    ["4.pdf", "The document cannot be shown"],
    ["5.jpg", "Empty file"],
    ["6.pdf", "Empty file"],
    ["7.mp4", "Empty file"],
    ["8.md", "Empty file"],
    ["9.txt", "Empty file"],
  ] as const) {
    await preview(page, name).getByText(text).waitFor();
    await preview(page, name).getByRole("button", { name: "Download" }).first().waitFor();
    await page.keyboard.press("ArrowRight");
  }
});

test("Markdown runs nothing, loads nothing and takes no input", async ({ page }) => {
  const account = await Account.create();
  const file = await account.upload("notes.md", bytes(HOSTILE));
  const foreign: string[] = [];
  page.on("request", (request) => {
    if (request.url().includes("evil.example")) foreign.push(request.url());
  });
  await signIn(page, account, `/files?preview=${file.id}`);
  const article = preview(page, "notes.md").getByRole("article");
  await article.getByRole("heading", { name: "Notes" }).waitFor();
  await article.getByRole("cell", { name: "2" }).waitFor();
  expect(await article.getByRole("link").evaluateAll((links) => links.map((link) => link.textContent))).toEqual([
    "https://example.org/",
    "b",
  ]);
  expect(await article.locator(FORBIDDEN).count()).toBe(0);
  expect(await page.title()).not.toBe("run");
  expect(foreign).toEqual([]); // the fixture `page` reports violations of the policy
});

test("preview by its address opens, and Escape closes it", async ({ page }) => {
  const account = await Account.create();
  const file = await account.upload("a.txt", bytes("words"));
  await signIn(page, account, `/files?preview=${file.id}`);
  await preview(page, "a.txt").getByText("words").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await page.getByRole("row", { name: "a.txt", exact: true }).waitFor();
});
