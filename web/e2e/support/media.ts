// Photos, documents, films and sounds that Chromium makes for the tests.

import type { BrowserContext } from "playwright-core";

type Bytes = Buffer<ArrayBuffer>;

/** Return a JPEG of `size` pixels that shows `text`. */
export async function makePhoto(
  context: BrowserContext,
  text: string,
  size = { width: 800, height: 600 },
): Promise<Bytes> {
  const page = await context.newPage();
  await page.setViewportSize(size);
  await page.setContent(`<body style="background: linear-gradient(45deg, teal, gold); font-size: 5em">${text}</body>`);
  const photo = await page.screenshot({ type: "jpeg" });
  await page.close();
  return photo as Bytes;
}

/** Return a PDF with a page for each text. */
export async function makePdf(context: BrowserContext, ...texts: string[]): Promise<Bytes> {
  const page = await context.newPage();
  await page.setContent(texts.map((text) => `<h1 style="break-after: page">${text}</h1>`).join(""));
  const document = await page.pdf();
  await page.close();
  return document as Bytes;
}

/** Return a PDF of about 1 MB for each page, so that a reader does not load it at once. */
export async function makeNoisePdf(context: BrowserContext, pages: number): Promise<Bytes> {
  const page = await context.newPage();
  await page.evaluate((pages) => {
    for (let number = 1; number <= pages; number++) {
      const canvas = Object.assign(document.createElement("canvas"), { width: 600, height: 600 });
      const brush = canvas.getContext("2d");
      const image = new ImageData(600, 600);
      for (let at = 0; at < image.data.length; at += 65536) crypto.getRandomValues(image.data.subarray(at, at + 65536));
      brush?.putImageData(image, 0, 0);
      const section = document.createElement("section");
      section.style.breakAfter = "page";
      section.append(`Page ${number}.`, Object.assign(new Image(), { src: canvas.toDataURL() }));
      document.body.append(section);
    }
  }, pages);
  const bytes = await page.pdf();
  await page.close();
  return bytes as Bytes;
}

/** Return about a second of a film (WebM, 320 x 240). */
export async function makeVideo(context: BrowserContext): Promise<Bytes> {
  const page = await context.newPage();
  const bytes = await page.evaluate(async () => {
    const canvas = Object.assign(document.createElement("canvas"), { width: 320, height: 240 });
    const brush = canvas.getContext("2d");
    const recorder = new MediaRecorder(canvas.captureStream(), { mimeType: "video/webm;codecs=vp8" });
    const pieces: Blob[] = [];
    recorder.ondataavailable = ({ data }) => pieces.push(data);
    const stopped = new Promise((resolve) => {
      recorder.onstop = resolve;
    });
    recorder.start();
    for (let frame = 0; brush && frame < 25; frame++) {
      brush.fillStyle = `hsl(${190 + frame * 6} 60% 50%)`;
      brush.fillRect(0, 0, canvas.width, canvas.height);
      await new Promise((resolve) => setTimeout(resolve, 40)); // the recorder works in real time
    }
    recorder.stop();
    await stopped;
    return Array.from(new Uint8Array(await new Blob(pieces).arrayBuffer()));
  });
  await page.close();
  return Buffer.from(bytes);
}

/** Return a sound of `seconds` (WAV, 8 kHz, 8 bits, mono: 8,000 bytes a second). */
export function makeSound(seconds: number): Bytes {
  const rate = 8000;
  const samples = Buffer.alloc(seconds * rate);
  for (let at = 0; at < samples.length; at++) samples[at] = 128 + 100 * Math.sin((at * at) / 3e8);
  const header = Buffer.alloc(44);
  header.write("RIFF", 0);
  header.writeUInt32LE(36 + samples.length, 4);
  header.write("WAVEfmt ", 8);
  header.writeUInt32LE(16, 16);
  header.writeUInt16LE(1, 20); // PCM
  header.writeUInt16LE(1, 22); // channels
  header.writeUInt32LE(rate, 24);
  header.writeUInt32LE(rate, 28);
  header.writeUInt16LE(1, 32);
  header.writeUInt16LE(8, 34);
  header.write("data", 36);
  header.writeUInt32LE(samples.length, 40);
  return Buffer.concat([header, samples]);
}
