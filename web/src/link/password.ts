// The password of a link, asked for again: a pass lasts for an hour.

import { make } from "./dom.ts";

/** Ask for the password; after a wrong one, say so. Throws an AbortError when the dialog is closed without one. */
export function askForPassword(refused: string | null): Promise<string> {
  const input = make("input", { id: "link-password", type: "password", maxLength: 128, required: true });
  const wrong = make("p", { id: "wrong", className: "error", role: "alert" }, "That was not the password.");
  if (refused !== null) {
    input.setAttribute("aria-invalid", "true");
    input.setAttribute("aria-describedby", wrong.id);
  }
  const title = make("h2", { id: "password-title" }, "Enter the password again");
  const form = make(
    "form",
    { method: "dialog" },
    make("label", { htmlFor: input.id }, "Password"),
    input,
    refused !== null && wrong,
    make("button", {}, "Continue"),
  );
  const why = make("p", { className: "facts" }, "The page was open for a long time, or the password has changed.");
  const dialog = make("dialog", { className: "card" }, title, why, form);
  dialog.setAttribute("aria-labelledby", title.id);
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve, reject) => {
    form.onsubmit = () => resolve(input.value);
    dialog.onclose = () => {
      dialog.remove();
      reject(new DOMException("The password was not entered", "AbortError")); // does nothing after a submit
    };
  });
}
