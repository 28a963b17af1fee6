// Texts of signing in and of the account.

export const account = {
  "sign-in.title": "Sign in",
  "sign-in.email": "Email address",
  "sign-in.password": "Password",
  "sign-in.stay": "Stay signed in",
  "sign-in.button": "Sign in",
  "sign-in.forgot": "Forgot your password?",
  "sign-in.or": "or",
  "sign-in.passkey": "Sign in with a passkey",
  "sign-in.passkey.failed": "The browser gave no passkey. Try again, or use your password.",
  "sign-in.provider": "Sign in with {name}",
  "sign-in.new": "No account yet?",
  "sign-in.register": "Create an account",
  "sign-in.code.title": "Second factor",
  "sign-in.code.text": "Enter the six digits that your authenticator app shows now, or one of your recovery codes.",
  "sign-in.code": "Code",
  "sign-in.code.wrong": "The code is wrong or was used already. Wait for the next one.",
  "sign-in.back": "Back",
  "password.show": "Show or hide the password",

  "sign-up.title": "Create an account",
  "sign-up.password.hint": "8 characters or more. Three or four words that only you know are best.",
  "sign-up.button": "Create the account",
  "sign-up.have": "You have an account?",
  "sign-up.closed": "This server takes no registrations. Ask your administrator for an account.",
  "sign-up.verify.title": "Confirm your address",
  "sign-up.verify.text": "We have sent a mail to {email}. Open its link, then sign in.",

  "forgot.title": "Forgot your password?",
  "forgot.text": "Enter your address. You get a mail with a link that sets a new password.",
  "forgot.button": "Send the mail",
  "forgot.sent": "If {email} has an account, a mail is on its way. Its link works for an hour.",
  "forgot.back": "Back to the sign-in",

  "welcome.title": "Welcome to your server",
  "welcome.text":
    "It has no account yet. The first one is yours: create it, then make it administrator on the machine where the server runs.",
  "welcome.step.account": "1. Create your account",
  "welcome.step.account.done": "Done: the server has an account.",
  "welcome.step.admin": "2. Make it administrator",
  "welcome.command.dev": "After make run, in a second terminal in the same folder:",
  "welcome.command": "On a server with settings of its own:",
  "welcome.continue": "Continue to your files",
  "welcome.why": "Administrators manage accounts and their space. They see no files of others.",

  "lost.title": "Your session has ended",
  "lost.text": "Sign in again to continue where you are. Nothing on this page is lost.",
  "lost.other": "Sign in as another user",

  "confirm-address.title": "Confirm your address",
  "confirm-address.text":
    "We have sent a mail to {email}. Open the link in it, so that others can share with you and you can reset your password.",
  "confirm-address.again": "Send the mail again",
  "confirm-address.sent": "The mail is on its way.",

  "profile.title": "Profile",
  "profile.name": "Name",
  "profile.name.hint": "Shown beside your address to the people with whom you share.",
} as const;
