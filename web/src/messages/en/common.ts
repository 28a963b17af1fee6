// Texts of the whole app.

export const common = {
  "app.name": "dropbox-api",
  cancel: "Cancel",
  close: "Close",
  copied: "Copied",
  copy: "Copy",
  done: "Done",
  "list.more": "Show more",
  loading: "Loading",
  save: "Save",
  saved: "Saved",
  "sign-out": "Sign out",
  "sign-out.title": "Cancel the uploads?",
  "sign-out.text":
    "{count, plural, one {An upload is not complete. Signing out cancels it} other {# uploads are not complete. Signing out cancels them}}, and this browser forgets what was chosen. Files that are complete stay in the account.",
  "sign-out.action": "Cancel uploads and sign out",
  "sign-out.stay": "Stay signed in",

  "shell.account": "{initial}, your account: {name}",
  "shell.admin": "Administration",
  "shell.menu.close": "Close the menu",
  "shell.menu.open": "Open the menu",
  "shell.navigation": "Pages",
  "shell.search": "Search files",
  "shell.settings": "Settings",
  "shell.skip": "Skip to the content",
  "shell.storage": "{used} of {quota} used",

  "theme.title": "Appearance",
  "theme.auto": "System",
  "theme.light": "Light",
  "theme.dark": "Dark",

  "undo.button": "Undo",
  "undo.done": "Undone",
  "undo.failed": "This could not be undone",

  "offline.title": "You are offline",
  "offline.text": "You see what was loaded before. Everything goes on as soon as the network is back.",
  "version.title": "New version",
  "version.text": "The server has a new version of this app. Reload the page to use it.",

  "error.title": "This could not be shown",
  "error.retry": "Try again",
  "error.reload": "Reload the page",
  "error.connection": "The server does not answer. Check your connection, then try again.",
  "error.offline": "You are offline. Try again as soon as the network is back.",
  "error.unavailable": "The server cannot do this at the moment. Try again in a minute.",
  "error.unexpected": "Something went wrong in the app. Try again; if it happens again, tell your administrator.",
  "error.crash.title": "This page has failed",
  "error.crash.text": "Your files are safe. Reload the page; if it fails again, tell your administrator.",

  "not-found.title": "Page not found",
  "not-found.text": "The address is wrong, or what was here is gone.",
  "not-found.button": "Go to your files",
} as const;
