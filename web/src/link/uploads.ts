// The page of an upload link: files are dropped or picked, and sent by the engine.

import { createUploader, readDrop, readFiles, readHandles, type UploadTree } from "dropbox-api-client/upload";
import { make, makeIcon } from "./dom.ts";
import { find, type Link, openLink } from "./page.ts";
import { UploadList } from "./upload_list.ts";

interface FilePicker {
  /** In Chromium: the handles let a later visit continue without picking the files again. */
  showOpenFilePicker?(options: { multiple: true }): Promise<FileSystemFileHandle[]>;
}

/** Put a place to drop and pick files, and the list of uploads, where the form is. */
export function showUploads(link: Link): void {
  const uploader = createUploader({ client: openLink(link), link: { token: link.token } });
  const notice = make("p", { className: "error", role: "alert" });
  const add = async (reading: UploadTree | Promise<UploadTree>) => {
    notice.textContent = "";
    try {
      const tree = await reading;
      if (tree.files.length) await uploader.add(tree);
      else if (tree.emptyFolders.length) notice.textContent = "The folder is empty: there is nothing to send.";
    } catch (error) {
      notice.textContent = `The files could not be read: ${error instanceof Error ? error.message : error}`;
    }
  };
  const files = makeInput("file", add);
  const folder = makeInput("folder", add);
  folder.webkitdirectory = true;
  const pick = () => void pickFiles(files, add);
  const zone = makeZone(pick, () => folder.click());
  const form = find(document, "form");
  const chosen = form.querySelector("input")?.files ?? []; // before this script was there
  form.replaceWith(zone, files, folder, notice);
  void add(readFiles(chosen));
  find(document, "main").append(new UploadList(uploader, pick).element);
  takeDrops(zone, add);
}

type Add = (tree: UploadTree | Promise<UploadTree>) => Promise<void>;

/** Make an input for the buttons and for tests; people see the buttons. */
function makeInput(id: string, add: Add): HTMLInputElement {
  const input = make("input", { id, type: "file", multiple: true, hidden: true });
  input.onchange = async () => {
    await add(readFiles(input.files ?? []));
    input.value = ""; // so that the same file can be picked again
  };
  return input;
}

async function pickFiles(input: HTMLInputElement, add: Add): Promise<void> {
  const { showOpenFilePicker } = window as FilePicker;
  if (!showOpenFilePicker) {
    input.click();
    return;
  }
  try {
    await add(readHandles(await showOpenFilePicker({ multiple: true })));
  } catch {
    // The person picked nothing.
  }
}

function makeZone(pick: () => void, pickFolder: () => void): HTMLElement {
  return make(
    "div",
    { className: "zone" },
    makeIcon("upload"),
    make("p", { className: "lead" }, "Drop files or folders here"),
    make(
      "p",
      { className: "actions" },
      make("button", { type: "button", onclick: pick }, "Choose files"),
      make("button", { type: "button", className: "quiet", onclick: pickFolder }, "Choose a folder"),
    ),
    make(
      "p",
      { className: "facts" },
      "If the connection is lost or the page closed, the upload continues where it was.",
    ),
  );
}

/** Take what is dropped anywhere on the page. */
function takeDrops(zone: HTMLElement, add: Add): void {
  let depth = 0; // the browser tells of each element that the pointer enters or leaves
  const mark = (change: number) => {
    depth = Math.max(0, depth + change);
    zone.classList.toggle("over", depth > 0);
  };
  const hasFiles = (event: DragEvent) => event.dataTransfer?.types.includes("Files") === true;
  document.ondragenter = (event) => hasFiles(event) && mark(1);
  document.ondragleave = (event) => hasFiles(event) && mark(-1);
  document.ondragover = (event) => hasFiles(event) && event.preventDefault();
  document.ondrop = (event) => {
    if (!event.dataTransfer || !hasFiles(event)) return;
    event.preventDefault();
    mark(-depth);
    void add(readDrop(event.dataTransfer));
  };
}
