// Thumbnails in a page, of photos, a PDF and a film that Chromium makes.

import { expect } from "vitest";
import { Account, type RemoteFile } from "./support/account.ts";
import { makePdf, makePhoto, makeVideo } from "./support/media.ts";
import { signIn, test } from "./support/test.ts";

const PHOTOS = 12;
const SMALL_PX = 360;
/** The worker may be busy. */
const MADE_MS = 240_000;

type ListedFile = RemoteFile & { thumbnails: { small_url: string; large_url: string } | null };

test("thumbnails of a folder of photos, a PDF and a film are shown in a page", async ({ app, context }) => {
  const account = await Account.create();
  const folder = await account.createFolder("Holidays");
  for (let number = 1; number <= PHOTOS; number++) {
    const size = number % 2 ? { width: 1200, height: 800 } : { width: 800, height: 1200 };
    await account.upload(`photo ${number}.jpg`, await makePhoto(context, `Photo ${number}`, size), folder);
  }
  await account.upload("plan.pdf", await makePdf(context, "Plan"), folder);
  await account.upload("waves.webm", await makeVideo(context), folder);
  const list = `/v1/files?parent_id=${folder.id}&thumbnails=true`;
  const countReady = async () => {
    const { items } = await account.call<{ items: ListedFile[] }>("GET", list);
    return items.filter(({ thumbnails }) => thumbnails !== null).length;
  };
  await expect.poll(countReady, { timeout: MADE_MS, interval: 500 }).toBe(PHOTOS + 2);

  await signIn(app, account);
  const sizes = await app.evaluate(async (list) => {
    const { items } = await window.client.call<{ items: ListedFile[] }>("GET", list);
    const images = items.map(({ name, thumbnails }) =>
      Object.assign(new Image(), { alt: name, src: thumbnails?.small_url }),
    );
    document.querySelector("main")?.append(...images);
    await Promise.all(images.map((image) => image.decode()));
    return images.map(({ alt, naturalWidth, naturalHeight }) => [alt, naturalWidth, naturalHeight] as const);
  }, list);
  const widths = new Map(sizes.map(([name, width, height]) => [name, [width, height]]));
  expect(widths.get("photo 1.jpg")).toEqual([SMALL_PX, 240]);
  expect(widths.get("photo 2.jpg")).toEqual([240, SMALL_PX]);
  expect(widths.get("waves.webm")).toEqual([320, 240]);
  for (const [, width, height] of sizes) expect(Math.min(width, height)).toBeGreaterThan(200);
});
