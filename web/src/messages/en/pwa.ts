// Texts of what makes the site an app of the device.

export const pwa = {
  "share-target.title": "{count, plural, one {Upload a shared file} other {Upload # shared files}}",
  "share-target.text":
    "{count, plural, one {Another app shares a file of {size}} other {Another app shares files of {size} in all}}. Choose a folder, then upload.",
  "share-target.more": "{count, plural, one {and one more} other {and # more}}",
  "share-target.upload": "Upload here",
  "share-target.discard": "Discard",
  "share-target.empty.title": "Nothing to upload",
  "share-target.empty.text": "What was shared is uploaded already, or older than a day. Share it again to upload it.",
  "share-target.failed.title": "The browser could not keep the files",
  "share-target.failed.text": "The device may be out of space. Free some, or open the app and upload the files there.",
} as const;
