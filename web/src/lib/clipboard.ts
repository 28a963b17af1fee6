// The clipboard, also where a page over http has no `navigator.clipboard`.

/** Copy a text. */
export async function copyText(text: string): Promise<void> {
  if (navigator.clipboard !== undefined) return navigator.clipboard.writeText(text);
  const field = Object.assign(document.createElement("textarea"), { value: text, readOnly: true });
  const parent = document.querySelector("[role=dialog]") ?? document.body; // dialogs keep the focus inside
  const focused = document.activeElement;
  parent.append(field);
  field.select();
  const isCopied = document.execCommand("copy");
  field.remove();
  if (focused instanceof HTMLElement) focused.focus();
  if (!isCopied) throw new Error("The browser does not copy");
}
