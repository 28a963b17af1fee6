// Draw the icons of the installed app from `icon.svg`: `node web/tools/icons.mjs`, after a change of it.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";

const FOLDER = join(import.meta.dirname, "../public/assets/icons");
const ICONS = [
  { file: "icon-192.png", size: 192 },
  { file: "icon-512.png", size: 512 },
  // A launcher cuts it into its own shape: the colour reaches the edges, the mark is smaller.
  { file: "maskable-512.png", size: 512, margin: 64, background: "#2354e0" },
];

const svg = readFileSync(join(FOLDER, "icon.svg"), "utf8");
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu"],
});
const page = await browser.newPage();
for (const { file, size, margin = 0, background = "transparent" } of ICONS) {
  await page.setViewportSize({ width: size, height: size });
  await page.setContent(
    `<style>body{margin:0;background:${background}}svg{display:block;padding:${margin}px;box-sizing:border-box;width:100vw;height:100vh}</style>${svg}`,
  );
  await page.screenshot({ path: join(FOLDER, file), omitBackground: true });
}
await browser.close();
