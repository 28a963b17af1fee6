"""The parser of `dbx`: all commands and the help."""

import argparse

from dropbox_client.cli.account.arguments import add_account_commands
from dropbox_client.cli.arguments import Parser
from dropbox_client.cli.completion.arguments import add_completion_commands
from dropbox_client.cli.events.arguments import add_event_commands
from dropbox_client.cli.files.arguments import add_file_commands
from dropbox_client.cli.sharing.arguments import add_sharing_commands
from dropbox_client.cli.sync.arguments import add_sync_commands
from dropbox_client.cli.transfers.arguments import add_transfer_commands, add_upload_session_commands
from dropbox_client.cli.trash.arguments import add_trash_commands

_EPILOG = """\
exit codes:
  0    success
  1    a failure, described on stderr
  2    invalid usage
  3    not signed in
  4    the server cannot be reached
  130  interrupted with Ctrl-C; run the same command again to continue

paths on the server:
  /photos/cat.jpg          in your own files; the leading slash is optional
  shared:Team/plan.txt     below an item shared with you, by its name in `dbx shared`
  id:UUID/plan.txt         the same by id, which --json and `dbx shared -l` show

waiting:
  After 5 s without progress, and then every 30 s, a line on stderr says what dbx waits for and until when.

environment:
  DBX_SERVER      address of the server
  DBX_TOKEN       a personal access token of `dbx tokens create`, instead of a sign-in
  DBX_CONFIG_DIR  directory of the stored sign-in
  DBX_STATE_DIR   directory of the state of `dbx sync`
"""


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version  # noqa: PLC0415 - slow, and rarely needed

        print(f"dbx {version('dropbox-api')}")  # noqa: T201
        parser.exit()


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands. Its result has `run`, the function that implements the command."""
    parser: argparse.ArgumentParser = Parser(
        "dbx",
        description="Your files in your own bucket.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    add_transfer_commands(commands)
    add_file_commands(commands)
    add_trash_commands(commands)
    add_sharing_commands(commands)
    add_event_commands(commands)
    add_sync_commands(commands)
    add_upload_session_commands(commands)
    add_account_commands(commands)
    add_completion_commands(commands)
    return parser
