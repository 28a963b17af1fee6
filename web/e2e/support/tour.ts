// A tour of the web app: every page and every dialog, opened one after the other by what a person reads there.

import type { BrowserContext, Locator, Page } from "playwright-core";
import { Account, type RemoteFile, server } from "./account.ts";
import { makeAdmin } from "./admin.ts";
import { SCHEMES, say, showScheme, signIn } from "./app.ts";
import { confirmAddress, waitForMailedLink } from "./mails.ts";
import { makePdf, makePhoto, makeSound, makeVideo } from "./media.ts";
import { answer, changeAnswers, FORBIDDEN, refuseUploads } from "./network.ts";
import { computeCode } from "./totp.ts";

const bytes = (text: string) => Buffer.from(text) as Buffer<ArrayBuffer>;

/** Against a stop that does not open; the machine may be busy. */
const STOP_MS = 20_000;

/** A name that fits on no line. */
const LONG_NAME = `${"long-".repeat(40)}name.txt`;

const CONFLICT_COPY = "plan (conflict copy of laptop 2026-11-30).pdf";

/** What the tour shows: an account with something of everything. */
interface Exhibits {
  account: Account;
  /** Has an authenticator app. */
  guarded: Account;
  folder: RemoteFile;
  empty: RemoteFile;
  trashed: RemoteFile;
  text: RemoteFile;
  long: RemoteFile;
  received: RemoteFile;
  files: Record<string, RemoteFile>;
  /** Confirms the address of `guarded`. */
  mailed: URL;
}

/** Files by the kinds of previews. */
async function makeFiles(account: Account, context: BrowserContext): Promise<Record<string, RemoteFile>> {
  const contents: [string, Uint8Array<ArrayBuffer>][] = [
    ["photo.jpg", await makePhoto(context, "Beach")],
    ["film.webm", await makeVideo(context)],
    ["sound.wav", makeSound(60)],
    ["plan.pdf", await makePdf(context, "Plan of the house", "Roof")],
    [
      "notes.md",
      bytes(`# Notes\n\n[site](https://example.org/) \`code\`\n\n| ${"wide | ".repeat(20)}\n|${"---|".repeat(20)}\n`),
    ],
    ["code.py", bytes(`def hello():  # ${"greeting ".repeat(30)}\n    return 'world', 1\n`)],
    [CONFLICT_COPY, bytes("version of a laptop")],
    ["blank.txt", bytes("")],
    ["data.bin", bytes("\0\x01")],
    ["broken.jpg", bytes("no picture")],
  ];
  return Object.fromEntries(
    await Promise.all(contents.map(async ([name, content]) => [name, await account.upload(name, content)] as const)),
  );
}

async function prepare(context: BrowserContext): Promise<Exhibits> {
  const [account, friend, guarded] = [await Account.create(), await Account.create(), await Account.create()];
  await confirmAddress(account);
  await makeAdmin(account);
  const { secret } = await guarded.call<{ secret: string }>("POST", "/v1/me/second-factor", {});
  await guarded.call("POST", "/v1/me/second-factor/confirm", { code: computeCode(secret) });

  const files = await makeFiles(account, context);
  const [folder, empty] = [await account.createFolder("letters"), await account.createFolder("empty")];
  const text = await account.upload("text.txt", bytes("first"), folder);
  await account.putContent(text.id, bytes("second"));
  const long = await account.upload(LONG_NAME, bytes("long"));
  const trashed = await account.createFolder("gone");
  const lost = await account.upload("lost.txt", bytes("lost"), trashed);
  for (const { id } of [lost, trashed, await account.upload("old.txt", bytes("old"))]) {
    await account.call("DELETE", `/v1/files/${id}`);
  }
  const received = await friend.createFolder("album");
  await friend.call("POST", `/v1/files/${received.id}/grants`, { email: account.email, role: "viewer" });
  for (const { id } of [folder, long]) {
    await account.call("POST", `/v1/files/${id}/grants`, { email: friend.email, role: "editor" });
  }
  await account.call("POST", `/v1/files/${folder.id}/grants`, { email: "invited@example.org", role: "viewer" });
  const links = `/v1/files/${folder.id}/links`;
  const inADay = new Date(Date.now() + 86_400_000).toISOString();
  await account.call("POST", links, { mode: "download", password: "open sesame", expires_at: inADay });
  await account.call("POST", links, { mode: "view", max_downloads: 5 });
  await account.call("POST", links, { mode: "upload", max_bytes: 1e9, max_file_bytes: 1e6 });
  await account.call("POST", "/v1/me/tokens", { name: "backup", scopes: ["files:read", "share"] });
  const report = { name: "laptop", cursor: null, pending: 3 };
  await account.call("PUT", `/v1/me/devices/${crypto.randomUUID()}`, report);
  const mailed = new URL(await waitForMailedLink(guarded.email, "verify-email"));
  return { account, guarded, folder, empty, trashed, text, long, received, files, mailed };
}

/** The browser's settings for the pseudo-language. */
export const PSEUDO = { locale: "ar-XB" };

/** What users have named, and what is the same in all languages. */
export const NAMES = [
  /\S+@example\.org/,
  /[\w-]+\.(txt|jpg|webm|wav|pdf|md|py|bin)/,
  /plan \(conflict copy of laptop 2026-11-30\)\.pdf/,
  /letters|empty|gone|album|backup|laptop|zzz/,
  /image\/jpeg|application\/pdf|[0-9a-f]{64}|files:read|share|node/,
];

/** What a stop of the tour uses. */
class Guide {
  constructor(
    readonly page: Page,
    readonly exhibits: Exhibits,
  ) {}

  find(role: Parameters<Page["getByRole"]>[0], name: string): Locator {
    return this.page.getByRole(role, { name: say(name) }).first();
  }

  /** Wait for a text. */
  async see(text: string): Promise<void> {
    await this.page.getByText(say(text)).first().waitFor();
  }

  /** Wait for an element. */
  async meet(role: Parameters<Page["getByRole"]>[0], name: string): Promise<void> {
    await this.find(role, name).waitFor();
  }

  async press(...names: string[]): Promise<void> {
    for (const name of names) await this.find("button", name).click();
  }

  async choose(item: string): Promise<void> {
    await this.find("menuitem", item).click();
  }

  /** Show one account in the administration: the server has those of other tests, too. */
  async findUser({ email }: Account): Promise<void> {
    await this.page.getByLabel(say("Search by address")).fill(email);
    await this.meet("button", `Actions for ${email}`);
    await this.page.locator("tbody tr").nth(1).waitFor({ state: "detached" });
  }

  row(name: string): Locator {
    return this.page.getByRole("row", { name, exact: true });
  }

  /** Select an entry of the list by the keyboard. */
  async select(name: string): Promise<void> {
    await this.row(name).press("Space");
  }

  /** Open the menu of an entry. */
  async openMenu(name: string): Promise<void> {
    await this.row(name).waitFor();
    await this.press(`Actions for ${name}`);
    await this.find("menuitem", "Details").waitFor();
  }
}

interface Stop {
  name: string;
  /** Address where it begins. */
  path: string | ((exhibits: Exhibits) => string);
  /** Open what is shown, and wait for it. */
  open: (guide: Guide) => Promise<unknown>;
}

/** Pages without an account. */
const OUTSIDE: readonly Stop[] = [
  { name: "sign in", path: "/sign-in", open: (guide) => guide.meet("heading", "Sign in") },
  {
    name: "second factor",
    path: "/sign-in",
    open: async (guide) => {
      const { email, password } = guide.exhibits.guarded;
      await guide.page.getByLabel(say("Email address")).fill(email);
      await guide.page.getByLabel(say("Password")).fill(password);
      await guide.press("Sign in");
      await guide.page.getByLabel(say("Code")).waitFor();
    },
  },
  {
    name: "sign up, with a mistake",
    path: "/sign-up",
    open: async (guide) => {
      await guide.page.getByLabel(say("Email address")).fill("new@example.org");
      await guide.page.getByLabel(say("Password")).fill("password");
      await guide.press("Create the account");
      await guide.page.getByRole("alert").waitFor();
    },
  },
  { name: "forgot password", path: "/sign-in/forgot", open: (guide) => guide.meet("button", "Send the mail") },
  {
    name: "first visit of a server",
    path: "/sign-in",
    open: async (guide) => {
      const end = await changeAnswers(guide.page, "**/v1/auth/options", { has_accounts: false });
      await guide.page.goto(`${server}/welcome`);
      await guide.see("Create the account");
      await end();
    },
  },
  {
    name: "link of a mail",
    path: ({ mailed: { pathname, search } }) => pathname + search,
    open: (guide) => guide.page.getByRole("button").waitFor(),
  },
  { name: "welcome", path: "/welcome", open: (guide) => guide.see("Done: the server has an account.") },
];

const inFolder = ({ folder }: Exhibits) => `/files/${folder.id}`;
const share = ({ folder }: Exhibits) => `/files?share=${folder.id}`;
const preview = (name: string, open: Stop["open"]): Stop => ({
  name: `preview: ${name}`,
  path: ({ files }) => `/files?preview=${files[name]?.id}`,
  open,
});

/** Open an element of a page, and wait for its dialog. */
const pressFor = (button: string, dialog: string) => async (guide: Guide) => {
  await guide.press(button);
  await guide.meet("dialog", dialog);
};

/** Pages and dialogs of an account. */
const INSIDE: readonly Stop[] = [
  { name: "files", path: "/files", open: (guide) => guide.row("photo.jpg").waitFor() },
  {
    name: "files: grid",
    path: "/files",
    open: async (guide) => {
      await guide.find("radio", "Grid").dispatchEvent("click");
      await guide.page.getByRole("gridcell", { name: "photo.jpg" }).waitFor();
    },
  },
  {
    name: "files: selection",
    path: "/files",
    open: async (guide) => {
      await guide.find("radio", "List").dispatchEvent("click");
      await guide.select("photo.jpg");
      await guide.see("1 selected");
    },
  },
  {
    name: "files: empty",
    path: ({ empty }) => `/files/${empty.id}`,
    open: (guide) => guide.see("This folder is empty"),
  },
  { name: "files: path", path: inFolder, open: (guide) => guide.row("text.txt").waitFor() },
  {
    name: "files: of another person",
    path: ({ received }) => `/files/${received.id}`,
    open: (guide) => guide.see("This folder is empty"),
  },
  { name: "files: not found", path: `/files/${crypto.randomUUID()}`, open: (guide) => guide.see("Folder not found") },
  {
    name: "files: in the trash",
    path: ({ trashed }) => `/files/${trashed.id}`,
    open: (guide) => guide.see("This folder is in the trash"),
  },
  { name: "recent", path: "/recent", open: (guide) => guide.row("photo.jpg").waitFor() },
  { name: "conflict copies", path: "/conflict-copies", open: (guide) => guide.row(CONFLICT_COPY).waitFor() },
  {
    name: "conflict copy",
    path: ({ files }) => `/conflict-copies?details=${files[CONFLICT_COPY]?.id}`,
    open: (guide) => guide.meet("button", "Open the original"),
  },
  { name: "search", path: "/search?q=text", open: (guide) => guide.row("text.txt").waitFor() },
  { name: "search: nothing found", path: "/search?q=zzz", open: (guide) => guide.see("Nothing found for “zzz”") },
  { name: "shared with me", path: "/shared", open: (guide) => guide.see("album") },
  { name: "shared by me", path: "/shared/by-me", open: (guide) => guide.meet("button", "Manage access to letters") },
  { name: "links", path: "/links", open: (guide) => guide.meet("button", "Revoke link") },
  { name: "trash", path: "/trash", open: (guide) => guide.see("old.txt") },
  {
    name: "trash: selection",
    path: "/trash",
    open: async (guide) => {
      await guide.find("checkbox", "Select old.txt").check();
      await guide.see("1 selected");
    },
  },
  { name: "activity", path: "/activity", open: (guide) => guide.page.getByRole("listitem").first().waitFor() },
  { name: "storage", path: "/storage", open: (guide) => guide.meet("heading", "Large files") },
  { name: "profile", path: "/account/profile", open: (guide) => guide.meet("button", "Change the address") },
  { name: "security", path: "/account/security", open: (guide) => guide.meet("button", "Set up an app") },
  { name: "sessions", path: "/account/sessions", open: (guide) => guide.see("This browser") },
  {
    name: "sessions: remove a device",
    path: "/account/sessions",
    open: pressFor("Remove the device laptop", "Remove the device"),
  },
  { name: "tokens", path: "/account/tokens", open: (guide) => guide.see("backup") },
  { name: "deletion", path: "/account/deletion", open: (guide) => guide.meet("button", "Delete my account") },
  { name: "administration", path: "/admin", open: (guide) => guide.findUser(guide.exhibits.account) },
  { name: "not found", path: "/account/nowhere", open: (guide) => guide.see("Page not found") },
  { name: "share target", path: "/share-target", open: (guide) => guide.see("Nothing to upload") },

  {
    name: "menu of the pages",
    path: "/files",
    open: async (guide) => {
      if (await guide.find("button", "Open the menu").isVisible()) await guide.press("Open the menu");
      await guide.meet("link", "Trash");
    },
  },
  {
    name: "menu of the account",
    path: "/files",
    open: async (guide) => {
      const { email } = guide.exhibits.account;
      await guide.press(`${email.charAt(0).toUpperCase()}, your account: ${email}`);
      await guide.meet("menuitem", "Sign out");
    },
  },
  {
    name: "menu of the order",
    path: inFolder,
    open: async (guide) => {
      await guide.press("Sort");
      await guide.meet("menuitemradio", "Newest first");
    },
  },
  { name: "menu of a file", path: inFolder, open: (guide) => guide.openMenu("text.txt") },
  {
    name: "new folder",
    path: "/files",
    open: async (guide) => {
      await guide.press("New");
      await guide.choose("New folder");
      await guide.page.getByLabel(say("Name of the folder")).fill("letters");
      await guide.press("Create");
      await guide.page.getByLabel(say("Name of the folder")).and(guide.page.locator("[aria-invalid=true]")).waitFor();
    },
  },
  {
    name: "rename",
    path: "/files",
    open: async (guide) => {
      await guide.select("photo.jpg");
      await guide.row("photo.jpg").press("F2");
      await guide.page.getByLabel(say("New name of photo.jpg")).fill("film.webm");
      await guide.page.keyboard.press("Enter");
      await guide.page.getByRole("alert").waitFor();
    },
  },
  {
    name: "move",
    path: "/files",
    open: async (guide) => {
      await guide.openMenu("photo.jpg");
      await guide.choose("Move");
      await guide.meet("button", "letters");
    },
  },
  {
    name: "details",
    path: ({ files }) => `/files?details=${files["photo.jpg"]?.id}`,
    open: (guide) => guide.see("SHA-256"),
  },
  { name: "share", path: share, open: (guide) => guide.meet("button", "Revoke link") },
  {
    name: "share: long name",
    path: ({ long }) => `/files?share=${long.id}`,
    open: (guide) => guide.meet("button", "Create a link"),
  },
  {
    name: "share: of another person",
    path: ({ received }) => `/shared?share=${received.id}`,
    open: (guide) => guide.meet("button", "Save a copy"),
  },
  {
    name: "share: new link",
    path: share,
    open: async (guide) => {
      await guide.press("Create a link");
      await guide.page.getByLabel(say("Expires")).selectOption("date");
      await guide.page.getByLabel(say("Password (optional)")).fill("abc");
      await guide.see("Use at least 4 characters.");
    },
  },
  {
    name: "share: new upload link",
    path: share,
    open: async (guide) => {
      await guide.press("Create a link");
      await guide.find("radio", "Receive files").dispatchEvent("click");
      await guide.page.getByLabel(say("Number of files (optional)")).waitFor();
    },
  },
  {
    name: "share: change a link",
    path: share,
    open: async (guide) => {
      await guide.press("Change link");
      await guide.meet("button", "Save");
    },
  },
  { name: "share: revoke a link", path: share, open: pressFor("Revoke link", "Revoke this link?") },
  {
    name: "share: remove a person",
    path: share,
    open: pressFor("Remove access of invited@example.org", "Remove access?"),
  },
  {
    name: "leave a share",
    path: "/shared",
    open: async (guide) => {
      await guide.press("Actions for album");
      await guide.choose("Leave");
      await guide.meet("dialog", "Leave “album”?");
    },
  },
  { name: "versions", path: ({ text }) => `/files?versions=${text.id}`, open: (guide) => guide.see("Current") },
  {
    name: "trash: delete for good",
    path: "/trash",
    open: pressFor("Delete old.txt for good", "Delete “old.txt” for good?"),
  },
  { name: "trash: empty", path: "/trash", open: pressFor("Empty trash", "Empty the trash?") },
  {
    name: "trash: folder is gone",
    path: "/trash",
    open: pressFor("Restore lost.txt", "The folder of “lost.txt” is gone"),
  },
  {
    name: "create a user",
    path: "/admin",
    open: async (guide) => {
      await guide.findUser(guide.exhibits.account);
      await pressFor("Create an account", "Create an account")(guide);
    },
  },
  ...(["Change the space", "Disable the account"] as const).map((name) => ({
    name: name.toLowerCase(),
    path: "/admin",
    open: async (guide: Guide) => {
      await guide.findUser(guide.exhibits.guarded);
      await guide.press(`Actions for ${guide.exhibits.guarded.email}`);
      await guide.choose(name);
      await guide.meet("dialog", name);
    },
  })),
  {
    name: "create a token",
    path: "/account/tokens",
    open: async (guide) => {
      await pressFor("Create a token", "Create a token")(guide);
      await guide.find("combobox", "Valid for").click();
      await guide.meet("option", "30 days");
    },
  },
  { name: "revoke a token", path: "/account/tokens", open: pressFor("Revoke the token backup", "Revoke") },
  { name: "add a passkey", path: "/account/security", open: pressFor("Add a passkey", "Add a passkey") },
  { name: "authenticator app", path: "/account/security", open: pressFor("Set up an app", "Set up an app") },
  {
    name: "confirm that it is you",
    path: "/account/security",
    open: async (guide) => {
      const problem = { ...FORBIDDEN, reason: "sign-in-too-old" };
      const end = await answer(guide.page, "**/v1/me/second-factor", 403, problem);
      await pressFor("Set up an app", "Confirm that it is you")(guide);
      await end();
    },
  },
  {
    name: "recovery codes",
    path: "/account/security",
    open: async (guide) => {
      const recovery_codes = Array.from({ length: 10 }, (_, index) => `${index}2345-67890`);
      const proposal = { secret: "A".repeat(32), otpauth_url: "otpauth://totp/app?secret=AAAA" };
      const endings = [
        await answer(guide.page, "**/v1/me/second-factor", 200, proposal), // the sign-in may be too old by now
        await answer(guide.page, "**/v1/me/second-factor/confirm", 200, { recovery_codes }),
      ];
      await pressFor("Set up an app", "Set up an app")(guide);
      await guide.page.getByLabel(say("Six digits")).fill("000000");
      await guide.press("Turn on");
      await guide.meet("dialog", "Recovery codes");
      for (const end of endings) await end();
    },
  },
  {
    name: "address that is not confirmed",
    path: "/account/profile",
    open: async (guide) => {
      const end = await changeAnswers(guide.page, "**/v1/me", { email_verified_at: null });
      await guide.page.reload();
      await guide.see("Confirm your address");
      await end();
    },
  },
  {
    name: "delete the account",
    path: "/account/deletion",
    open: pressFor("Delete my account", "Delete your account?"),
  },

  preview("photo.jpg", (guide) => guide.meet("img", "photo.jpg")),
  preview("film.webm", (guide) => guide.page.locator("video").waitFor()),
  preview("sound.wav", (guide) => guide.page.locator("audio").waitFor()),
  preview("plan.pdf", (guide) => guide.page.getByText("Plan of the house").waitFor()),
  preview("notes.md", (guide) => guide.meet("heading", "Notes")),
  preview("code.py", (guide) => guide.page.locator("[class*=token-keyword]").first().waitFor()),
  preview("blank.txt", (guide) => guide.see("Empty file")),
  preview("data.bin", (guide) => guide.see("No preview")),
  { name: "preview: text", path: ({ text }) => `/files?preview=${text.id}`, open: (guide) => guide.see("second") },

  {
    name: "message with Undo",
    path: "/files",
    open: async (guide) => {
      await guide.select("broken.jpg");
      await guide.row("broken.jpg").press("Delete");
      await guide.meet("button", "Undo");
      await guide.page.keyboard.press("Control+z");
      await guide.see("Undone");
    },
  },
  {
    name: "taken name",
    path: inFolder,
    open: async (guide) => {
      await guide.row("text.txt").waitFor();
      await upload(guide.page, "text.txt");
      await guide.meet("dialog", "The name is taken");
    },
  },
  {
    name: "uploads",
    path: inFolder,
    open: async (guide) => {
      if (await guide.find("dialog", "The name is taken").isVisible()) await guide.press("Skip");
      await guide.row("text.txt").waitFor();
      const accept = await refuseUploads(guide.page);
      await upload(guide.page, "letter.bin", 2_000_000);
      await guide.see("You may not add files to this folder. Ask its owner.");
      await accept();
    },
  },
  {
    name: "lost session", // the last one: it stays lost
    path: "/account/profile",
    open: async (guide) => {
      const dialog = guide.find("dialog", "Your session has ended");
      if (!(await dialog.isVisible())) await guide.exhibits.account.call("DELETE", "/v1/me/sessions");
      await dialog.getByLabel(say("Password")).waitFor();
    },
  },
];

async function upload(page: Page, name: string, sizeBytes = 10): Promise<void> {
  await page.setInputFiles("[data-testid=upload-files]", {
    name,
    mimeType: "application/octet-stream",
    buffer: Buffer.alloc(sizeBytes, 1),
  });
}

/** Go to an address within the app, which is quicker than to load the page. */
function navigate(page: Page, path: string): Promise<void> {
  return page.evaluate((path) => {
    history.pushState(null, "", path);
    dispatchEvent(new PopStateEvent("popstate"));
  }, path);
}

async function goTo(guide: Guide, stop: Stop): Promise<void> {
  const path = typeof stop.path === "string" ? stop.path : stop.path(guide.exhibits);
  if (INSIDE.includes(stop)) {
    await guide.page.keyboard.press("Escape"); // the menu of the account stays on other pages
    await navigate(guide.page, "/account/nowhere"); // so that nothing of the stop before stays
    await guide.see("Page not found");
    await navigate(guide.page, path);
  } else {
    await guide.page.goto(server + path);
  }
  await stop.open(guide);
}

const SIZES = [
  { width: 1440, height: 900 },
  { width: 720, height: 450 }, // 1440 at a zoom of 200 %
  { width: 390, height: 800 },
  { width: 320, height: 640 },
];

/** Sizes and colour schemes; the two change in turn. */
const LOOKS = SCHEMES.flatMap((scheme, offset) =>
  SIZES.map((size, index) => ({ size, scheme: SCHEMES[(index + offset) % 2] ?? scheme })),
);

/** Go to all stops, each with one look in turn or with all of them, and return what `check` finds. */
async function walk(guide: Guide, stops: readonly Stop[], looks: "one" | "all", check: Check): Promise<string[]> {
  const { page } = guide;
  const found: string[] = [];
  for (const [index, stop] of stops.entries()) {
    for (const { size, scheme } of looks === "all" ? LOOKS : LOOKS.slice(index % LOOKS.length).slice(0, 1)) {
      const place = `${stop.name}, ${size.width} px, ${scheme}`;
      try {
        await page.setViewportSize(size);
        await showScheme(page, scheme);
        await goTo(guide, stop);
        found.push(...(await check(page)).map((text) => `${place}: ${text}`));
      } catch (error) {
        found.push(`${place}: ${error}`);
      }
    }
  }
  return found;
}

type Check = (page: Page) => Promise<string[]>;

/** Take the tour as a visitor and as a user, and return what `check` finds. */
export async function takeTour(page: Page, looks: "one" | "all", check: Check): Promise<string[]> {
  const exhibits = await prepare(page.context());
  const guide = new Guide(page, exhibits);
  page.setDefaultTimeout(STOP_MS);
  const outside = await walk(guide, OUTSIDE, looks, check);
  await signIn(page, exhibits.account);
  return [...outside, ...(await walk(guide, INSIDE, looks, check))];
}
