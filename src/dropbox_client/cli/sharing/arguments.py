"""The arguments of share, unshare, shared, leave, link, unlink and upload-tokens."""

from typing import TYPE_CHECKING

from dropbox_client.cli.arguments import (
    add_command,
    add_group,
    add_reporting_command,
    duration_s,
    object_id,
    plain_text,
    positive_int,
    remote_path,
    size_bytes,
)

if TYPE_CHECKING:
    from dropbox_client.cli.arguments import Commands

_SHARE = """\
Share a file, or a folder with its contents. Without EMAIL: list the accounts with access. Sharing again changes the
role.

An account with this confirmed address sees the item immediately in `dbx shared`. For any other address the share waits
until such an account exists. `dbx unshare` ends the access immediately.
"""

_LINK = """\
Create a public link and print its address; visitors need no account. They may download the content, unless --view or
--upload is given.
"""

_UPLOAD_TOKENS = """\
Without an action: list them.

A page of another site sends files into one folder with an upload token, and can do nothing else. Its own server creates
one for each visit; this command is for trying it out. The token ends with the sign-in or access token that created it.
"""


def add_sharing_commands(commands: "Commands") -> None:
    command = add_reporting_command(
        commands, "share", "sharing.share", "share with people, or list who has access", description=_SHARE
    )
    command.add_argument("path", metavar="PATH", type=remote_path)
    command.add_argument("emails", metavar="EMAIL", nargs="*", type=plain_text, help="address to share with")
    command.add_argument("--edit", action="store_true", help="allow changes (default: read only)")

    command = add_command(commands, "unshare", "sharing.unshare", "stop sharing with people")
    command.add_argument("path", metavar="PATH", type=remote_path)
    command.add_argument("emails", metavar="EMAIL", nargs="+", type=plain_text, help="address that loses access")

    command = add_reporting_command(
        commands, "shared", "sharing.list_shared", "list what is shared with you, or what you share"
    )
    command.add_argument("--by-me", action="store_true", help="list what you share, last shared first")
    command.add_argument(
        "-l",
        "--long",
        action="store_true",
        help="also show kind, size, time, your role, owner and id; with --by-me how many grants and links",
    )

    command = add_command(commands, "leave", "sharing.leave", "give up your access to shared items")
    command.add_argument("things", metavar="NAME|ID", nargs="+", type=plain_text, help="from `dbx shared`")

    _add_link_commands(commands)
    _add_upload_token_commands(commands)


def _add_link_commands(commands: "Commands") -> None:
    command = add_reporting_command(
        commands, "link", "sharing.link", "create a public link, or list links", description=_LINK
    )
    command.add_argument("path", metavar="PATH", type=remote_path)
    mode = command.add_mutually_exclusive_group()
    mode.add_argument("--view", dest="mode", action="store_const", const="view", help="visitors may view, not download")
    mode.add_argument(
        "--upload", dest="mode", action="store_const", const="upload", help="visitors may upload files and see nothing"
    )
    mode.add_argument("--list", action="store_true", help="list the links of PATH with their ids")
    password = command.add_mutually_exclusive_group()
    password.add_argument("--password", action="store_true", help="prompt for a password that protects the link")
    password.add_argument("--password-stdin", action="store_true", help="read the password of the link from stdin")
    command.add_argument("--expires", metavar="TIME", type=duration_s, help="lifetime of the link: 12h, 7d")
    command.add_argument("--max-downloads", metavar="N", type=positive_int, help="the link ends after N downloads")
    command.add_argument("--max-size", metavar="SIZE", type=size_bytes, help="all uploads together: 500M, 10G")
    command.add_argument("--max-file-size", metavar="SIZE", type=size_bytes, help="each uploaded file: 500M, 10G")
    command.add_argument("--max-files", metavar="N", type=positive_int, help="at most N uploaded files")
    command.set_defaults(mode="download")

    command = add_command(commands, "unlink", "sharing.unlink", "revoke links immediately and permanently")
    command.add_argument("ids", metavar="ID", nargs="+", type=object_id, help="from `dbx link --list PATH`")


def _add_upload_token_commands(commands: "Commands") -> None:
    summary = "list, create or revoke tokens with which pages send files into a folder"
    actions = add_group(commands, "upload-tokens", "list | create | revoke", summary, description=_UPLOAD_TOKENS)
    add_reporting_command(actions, "list", "sharing.list_upload_tokens", "show id, end, use and folder")
    command = add_reporting_command(
        actions, "create", "sharing.create_upload_token", "create a token and print it once"
    )
    command.add_argument("path", metavar="PATH", type=remote_path, help="the folder that receives the files")
    command.add_argument("--max-size", metavar="SIZE", type=size_bytes, required=True, help="all uploads together")
    command.add_argument(
        "--expires", metavar="TIME", type=duration_s, default=3600, help="at most 24h; 1h if not given"
    )
    command = add_command(actions, "revoke", "sharing.revoke_upload_tokens", "revoke tokens and end their uploads")
    command.add_argument("ids", metavar="ID", nargs="+", type=object_id, help="from `dbx upload-tokens`")
