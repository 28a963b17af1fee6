// What the accounts of the screenshots have: a household's files, drawn and written here.

import type { BrowserContext, Page } from "playwright-core";
import { Account, type Link, type RemoteFile } from "../e2e/support/account.ts";
import { confirmAddress } from "../e2e/support/mails.ts";
import { makePdf, makeSound, makeVideo } from "../e2e/support/media.ts";

export interface Sample {
  owner: Account;
  photos: RemoteFile;
  photo: RemoteFile;
  document: RemoteFile;
  code: RemoteFile;
  film: RemoteFile;
  notes: RemoteFile;
  project: RemoteFile;
  empty: RemoteFile;
  gallery: Link;
  inbox: Link;
}

const PHOTOS = [
  "Harbour at dawn",
  "Lake Ritom",
  "Ridge walk",
  "Evening on the pass",
  "Fog over the valley",
  "Last light",
  "Glacier",
  "Dunes",
  "Morning at the hut",
  "Island ferry",
  "North face",
  "Meadow in June",
  "Storm clearing",
  "Blue hour",
];

const TABLE = `room,work,offer_eur
kitchen,worktop and sink,4200
bath,tiles,2850
hall,paint,640
`;

const NOTES = `# Moving house

Keys on **Friday at 10:00**. The van is booked for the whole day.

## Before
- [x] Read the meters
- [x] Redirect the post
- [ ] Defrost the freezer

| Room | Boxes | Who |
|---|---|---|
| Kitchen | 14 | Maria |
| Study | 22 | Alex |

> The lift is reserved from 9:00 to 12:00.
`;

const SCRIPT = `"""Rename the photos of a camera by the day on which they were taken."""

from pathlib import Path


def rename(folder: Path) -> int:
    count = 0
    for photo in sorted(folder.glob("*.jpg")):
        day = photo.stat().st_mtime  # the camera writes no zone
        photo.rename(folder / f"{day:.0f}-{photo.name}")
        count += 1
    return count
`;

/** Fill an account with files, shares, links, versions and a trash; a second one shares with it. */
export async function makeSample(context: BrowserContext): Promise<Sample> {
  const owner = await createPerson("alex@example.org", "Alex Morgan");
  const other = await createPerson("maria@example.org", "Maria Lindqvist");

  const [photos, project, recipes, empty, letters] = [
    await owner.createFolder("Photos"),
    await owner.createFolder("House renovation"),
    await owner.createFolder("Recipes"),
    await owner.createFolder("Scans"),
    await owner.createFolder("From the architect"),
  ];
  const pictures: RemoteFile[] = [];
  const page = await context.newPage();
  for (const [index, name] of PHOTOS.entries()) {
    pictures.push(await owner.upload(`${name}.jpg`, await drawLandscape(page, index), photos));
  }
  const document = await owner.upload("Floor plan.pdf", await drawPlan(page));
  const lines = ["Offer", "Kitchen: 4,200 EUR", "Bath: 2,850 EUR", "Hall: 640 EUR"];
  await owner.upload("Offer of the joiner.pdf", await makePdf(context, lines.join("<br>")), project);
  await owner.upload("Costs.csv", bytes(TABLE), project);
  await owner.upload("Before.jpg", await drawLandscape(page, 31), project);
  await owner.upload("Bread.md", bytes("# Bread\n\nFlour, water, salt."), recipes);
  await page.close();

  const film = await owner.upload("Sailing in August.webm", await makeVideo(context));
  const notes = await owner.upload("Moving house.md", bytes("# Moving house\n"));
  for (const text of ["# Moving house\n\nKeys on Friday.", NOTES]) await owner.putContent(notes.id, bytes(text));
  const code = await owner.upload("rename_photos.py", bytes(SCRIPT));
  await owner.upload("Interview.wav", makeSound(60));
  await owner.upload("Budget 2026.xlsx", Buffer.alloc(48_000, 1));
  await owner.upload("Budget 2026 (conflict copy of laptop 2026-11-28).xlsx", Buffer.alloc(52_000, 4));
  await owner.upload("Lease.docx", Buffer.alloc(310_000, 2));
  await owner.upload("Old laptop.zip", Buffer.alloc(24_000_000, 3));
  await owner.upload(
    "A file whose name is so long that no column of a list has room for all of it, as from a scanner 2026-03-14 09.41.17.txt",
    bytes("scan"),
  );
  for (const name of ["Draft of the lease.docx", "IMG_2041 (copy).jpg", "notes old.txt"]) {
    const { id } = await owner.upload(name, bytes(name));
    await owner.call("DELETE", `/v1/files/${id}`);
  }

  await owner.call("POST", `/v1/files/${project.id}/grants`, { email: other.email, role: "editor" });
  await owner.call("POST", `/v1/files/${project.id}/grants`, { email: "joiner@example.com", role: "viewer" });
  const wedding = await other.createFolder("Wedding");
  await other.call("POST", `/v1/files/${wedding.id}/grants`, { email: owner.email, role: "editor" });
  const guests = await other.upload("Guest list.csv", bytes("name,table\n"));
  await other.call("POST", `/v1/files/${guests.id}/grants`, { email: owner.email, role: "viewer" });

  const { cursor } = await owner.call<{ cursor: string }>("GET", "/v1/events/cursor");
  for (const [name, pending] of [
    ["Laptop", 0],
    ["Computer in the office", 12],
  ] as const) {
    await owner.call("PUT", `/v1/me/devices/${crypto.randomUUID()}`, {
      name,
      cursor: pending ? null : cursor,
      pending,
    });
  }

  await owner.createLink(project, { mode: "download", password: "open sesame" });
  const sample = { owner, photos, document, code, film, notes, project, empty };
  return {
    ...sample,
    photo: pictures[0] as RemoteFile,
    gallery: await owner.createLink(photos, { mode: "download" }),
    inbox: await owner.createLink(letters, { mode: "upload" }),
  };
}

async function createPerson(email: string, display_name: string): Promise<Account> {
  const account = await Account.create(email);
  await confirmAddress(account);
  await account.call("PATCH", "/v1/me", { display_name });
  return account;
}

function bytes(text: string): Buffer<ArrayBuffer> {
  return Buffer.from(text) as Buffer<ArrayBuffer>;
}

/** Return a JPEG of hills under a sky; `seed` decides the hour and the shapes. */
export async function drawLandscape(page: Page, seed: number): Promise<Buffer<ArrayBuffer>> {
  const address = await page.evaluate((seed) => {
    const size = { width: 1600, height: 1200 };
    const brush = Object.assign(document.createElement("canvas"), size).getContext("2d");
    if (!brush) throw new Error("the browser draws nothing");
    let state = seed * 7919 + 17;
    const random = () => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647;
    for (let warm = 0; warm < 8; warm++) random();
    const fill = (stops: [number, string][], from: number, to: number) => {
      const gradient = brush.createLinearGradient(0, from, 0, to);
      for (const [at, color] of stops) gradient.addColorStop(at, color);
      brush.fillStyle = gradient;
    };
    const hue = (195 + random() * 60) % 360;
    const glow = random() < 0.6 ? 15 + random() * 30 : hue - 15;
    fill(
      [
        [0, `hsl(${hue} 60% 42%)`],
        [0.55, `hsl(${hue} 55% 72%)`],
        [1, `hsl(${glow} 85% 78%)`],
      ],
      0,
      800,
    );
    brush.fillRect(0, 0, size.width, size.height);
    const [sunX, sunY, radius] = [300 + random() * 1000, 330 + random() * 300, 45 + random() * 50];
    const halo = brush.createRadialGradient(sunX, sunY, radius, sunX, sunY, radius * 7);
    halo.addColorStop(0, `hsl(${glow} 100% 90% / 70%)`);
    halo.addColorStop(1, `hsl(${glow} 100% 90% / 0%)`);
    brush.fillStyle = halo;
    brush.fillRect(0, 0, size.width, size.height);
    brush.fillStyle = `hsl(${glow} 100% 94%)`;
    brush.beginPath();
    brush.arc(sunX, sunY, radius, 0, 7);
    brush.fill();
    const ground = random() < 0.5 ? hue + 10 : 130 + random() * 40;
    for (let layer = 0; layer < 5; layer++) {
      const base = 560 + layer * 125;
      const waves = Array.from({ length: 6 }, (_, index) => ({
        length: (0.0015 + random() * 0.002) * 1.8 ** index,
        height: (120 - layer * 12) / 1.9 ** index,
        shift: random() * 7,
      }));
      brush.beginPath();
      brush.moveTo(0, size.height);
      for (let x = 0; x <= size.width; x += 4) {
        const y = waves.reduce((sum, wave) => sum + Math.sin(x * wave.length + wave.shift) * wave.height, base);
        brush.lineTo(x, y);
      }
      brush.lineTo(size.width, size.height);
      const light = 62 - layer * 12;
      fill(
        [
          [0, `hsl(${ground} ${24 + layer * 5}% ${light}%)`],
          [1, `hsl(${ground} 30% ${light - 8}%)`],
        ],
        base - 150,
        base + 300,
      );
      brush.fill();
    }
    return brush.canvas.toDataURL("image/jpeg", 0.85);
  }, seed);
  return Buffer.from(address.slice(address.indexOf(",") + 1), "base64");
}

/** Return a PDF that shows the plan of a flat. */
async function drawPlan(page: Page): Promise<Buffer<ArrayBuffer>> {
  const room = (x: number, y: number, width: number, height: number, name: string) =>
    `<rect x="${x}" y="${y}" width="${width}" height="${height}"/><text x="${x + 14}" y="${y + 30}">${name}</text>`;
  await page.setContent(`<style>rect { fill: #f4f1ea; stroke: #333; stroke-width: 6 } text { font: 20px sans-serif }</style>
    <h1 style="font-family: sans-serif">Second floor, 1:50</h1><svg viewBox="0 0 760 640">
    ${room(10, 10, 320, 260, "Kitchen")}${room(330, 10, 420, 260, "Living room")}${room(10, 270, 200, 350, "Bath")}
    ${room(210, 270, 240, 350, "Hall")}${room(450, 270, 300, 350, "Study")}</svg>`);
  return (await page.pdf({ printBackground: true })) as Buffer<ArrayBuffer>;
}
