// Why an upload failed, for a person who knows neither the server nor its owner.

import type { Failure } from "dropbox-api-client/upload";

const TEXTS = new Map(
  Object.entries({
    "not-found": "This link does not work any more. Ask for a new one.",
    "link-password-required": "The password of the link is needed: try again.",
    "quota-exceeded": "There is no room for this file. Tell the person who sent you the link.",
    "store-full": "There is no room for this file. Tell the person who sent you the link.",
    "size-not-allowed": "The file is larger than this link takes.",
    "too-many-uploads": "Too many uploads are going on: try again later.",
    "rate-limited": "There were too many requests: try again in some minutes.",
    "file-changed": "The file has changed since you chose it: try again, or choose it again.",
    "file-unreadable": "The browser cannot read the file: choose it again.",
    connection: "There is no connection to the server: try again.",
    "worker-failed": "The browser could not start the upload: reload the page.",
  }),
);

/** Return what happened and what to do. */
export function describeFailure({ code, detail }: Failure): string {
  return TEXTS.get(code) ?? `${detail}.`.replace(/\.\.$/, ".");
}
