"""The arguments of login, logout, whoami, password, second-factor, passkeys, tokens, sign-ins and devices."""

from typing import TYPE_CHECKING

from dropbox_client.cli.arguments import (
    DEFAULT_SERVER,
    add_command,
    add_group,
    add_reporting_command,
    duration_s,
    object_id,
    plain_text,
    server_address,
)

if TYPE_CHECKING:
    from dropbox_client.cli.arguments import Commands

SCOPES = ("files:read", "files:write", "share", "processing", "admin")

_LOGIN = """\
Sign in; prompts for missing values.

  dbx login --sso      at the identity provider of the server, in a browser that can reach this computer
  dbx login --token    with a personal access token of `dbx tokens create`, from DBX_TOKEN or else from stdin
"""

_CHANGE_DESCRIPTION = """\
Change your password, or set your first one. Prompts for the old and the new password; without a terminal it reads one
line of stdin for each.
"""

_ACCOUNT = "Change the address of the account; delete the account, or restore it before the server deletes its files."

_ADDRESS = """\
Change the address with which you sign in and which others see. The server sends a mail to the new address, and its link
makes the change. Shares and sign-ins stay. A confirmed former address gets a mail that can undo the change for 7 days.
"""

_DELETE = """\
Delete the account with all its files. Sign-ins, tokens, webhooks, shares and uploads end at once, and links stop
working. Until the server deletes the files, 30 days later by default, `dbx login` and `dbx account restore` bring the
account back.
"""

_SECOND_FACTOR = """\
Turn the second factor on or off. If it is on, a sign-in also needs a code of an authenticator app, or a recovery code.
Each recovery code is valid once.
"""


def add_account_commands(commands: "Commands") -> None:
    _add_sign_in_commands(commands)
    _add_second_factor_commands(commands)
    _add_passkey_commands(commands)
    _add_account_commands(commands)
    _add_token_commands(commands)
    _add_device_commands(commands)


def _add_sign_in_commands(commands: "Commands") -> None:
    command = add_command(commands, "login", "account.login", "sign in", description=_LOGIN)
    command.add_argument(
        "--server", metavar="URL", type=server_address, help=f"address of the server (default: {DEFAULT_SERVER})"
    )
    command.add_argument("--email", metavar="EMAIL", type=plain_text, help="address of your account")
    command.add_argument("--password-stdin", action="store_true", help="read the password from stdin")
    command.add_argument(
        "--otp", metavar="CODE", type=plain_text, help="code of your second factor (default: prompt if required)"
    )
    how = command.add_mutually_exclusive_group()
    how.add_argument("--register", action="store_true", help="create the account first")
    how.add_argument("--sso", action="store_true", help="sign in with a browser at the server's identity provider")
    how.add_argument("--token", action="store_true", help="store a personal access token instead of a sign-in")
    command.add_argument("--no-browser", action="store_true", help="with --sso: only print the address to open")
    add_command(commands, "logout", "account.logout", "sign out, here and on the server")
    command = add_reporting_command(commands, "whoami", "account.whoami", "show the account, its name and its quota")
    command.add_argument(
        "--set-name", dest="name", metavar="NAME", type=plain_text, help="set the name that people you share with see"
    )
    add_reporting_command(commands, "storage", "account.storage", "show what uses your storage")
    add_command(
        commands,
        "password",
        "account.change_password",
        "change your password and end all other sign-ins",
        description=_CHANGE_DESCRIPTION,
    )


def _add_account_commands(commands: "Commands") -> None:
    actions = add_group(
        commands,
        "account",
        "address | delete | restore",
        "change the address of the account, delete or restore it",
        description=_ACCOUNT,
    )
    command = add_command(
        actions, "address", "account.change_address", "change the address of the account", description=_ADDRESS
    )
    command.add_argument("email", metavar="EMAIL", type=plain_text, help="the new address")
    command = add_command(actions, "delete", "account.delete_account", "delete the account", description=_DELETE)
    command.add_argument("--yes", action="store_true", help="do not ask; the password is asked nevertheless")
    add_command(actions, "restore", "account.restore_account", "restore the account, after a new `dbx login`")


def _add_second_factor_commands(commands: "Commands") -> None:
    actions = add_group(
        commands,
        "second-factor",
        "enable | disable | recovery-codes",
        "turn the second factor on or off",
        description=_SECOND_FACTOR,
    )
    add_command(actions, "enable", "account.enable_second_factor", "turn it on and print the recovery codes")
    for name, run, summary in (
        ("disable", "account.disable_second_factor", "turn it off"),
        ("recovery-codes", "account.replace_recovery_codes", "print new recovery codes and invalidate the old ones"),
    ):
        command = add_command(actions, name, run, summary)
        command.add_argument(
            "--otp", metavar="CODE", type=plain_text, help="code of your second factor (default: prompt)"
        )


def _add_passkey_commands(commands: "Commands") -> None:
    actions = add_group(commands, "passkeys", "list | remove", "list or remove your passkeys; a browser adds them")
    add_reporting_command(actions, "list", "account.list_passkeys", "show id, last use and name")
    command = add_command(actions, "remove", "account.remove_passkeys", "remove passkeys and end all other sign-ins")
    command.add_argument("ids", metavar="ID", nargs="+", type=object_id, help="from `dbx passkeys`")


def _add_token_commands(commands: "Commands") -> None:
    summary = "list, create or revoke personal access tokens for programs"
    actions = add_group(commands, "tokens", "list | create | revoke", summary)
    add_reporting_command(actions, "list", "account.list_tokens", "show id, last use, expiry, scopes and name")
    command = add_reporting_command(actions, "create", "account.create_token", "create a token and print it once")
    command.add_argument("name", metavar="NAME", type=plain_text, help="the purpose of the token")
    command.add_argument(
        "--scope", dest="scopes", action="append", choices=SCOPES, required=True, help="a permission; repeatable"
    )
    command.add_argument("--expires", metavar="TIME", type=duration_s, help="lifetime of the token: 12h, 90d")
    command = add_command(actions, "revoke", "account.revoke_tokens", "revoke tokens immediately")
    command.add_argument("ids", metavar="ID", nargs="+", type=object_id, help="from `dbx tokens`")


def _add_device_commands(commands: "Commands") -> None:
    actions = add_group(commands, "sign-ins", "list | revoke | revoke-others", "list or end your sign-ins")
    add_reporting_command(
        actions, "list", "account.list_sign_ins", "show id, last use, address and program; * marks this sign-in"
    )
    command = add_command(actions, "revoke", "account.revoke_sign_ins", "end sign-ins immediately")
    command.add_argument("ids", metavar="ID", nargs="+", type=object_id, help="from `dbx sign-ins`")
    add_command(actions, "revoke-others", "account.revoke_other_sign_ins", "end all other sign-ins")

    actions = add_group(commands, "devices", "list | remove", "list or remove the devices that sync your files")
    add_reporting_command(
        actions, "list", "account.list_devices", "show id, last report, events to read, changes to send and name"
    )
    command = add_command(actions, "remove", "account.remove_devices", "remove devices that you no longer use")
    command.add_argument("ids", metavar="ID", nargs="+", type=object_id, help="from `dbx devices`")
