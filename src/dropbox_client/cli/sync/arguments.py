"""The arguments of sync, status and conflicts."""

import argparse
from typing import TYPE_CHECKING

from dropbox_client.cli.arguments import (
    add_command,
    add_group,
    add_reporting_command,
    local_path,
    own_path,
    plain_text,
    size_bytes,
)

if TYPE_CHECKING:
    from dropbox_client.cli.arguments import Commands

SYNC_WORDS = frozenset(
    {
        *("keep", "add", "remove", "list", "exclude", "include", "limit", "run", "service"),
        *("pause", "resume", "confirm", "reject", "log", "doctor", "-h", "--help"),
    }
)
"""What may follow `dbx sync`; anything else is a folder to keep, or an option of it."""

_SYNC = """\
Keep folders equal to the account, on any number of devices.

  dbx sync ~/Files                 in the foreground, until Ctrl-C; adds the folder if needed
  dbx sync ~/Files --once          until both sides agree, for instance in a cron job
  dbx sync add ~/Files             adds the folder; `dbx sync run` or the service keeps it in sync
  dbx sync service install         all folders, in the background, from now on
  dbx status                       what waits, and why

A new folder, and one that has the name of an action, is written ./NAME. The page docs/sync.md tells what is kept and
what is not.
"""

_KEEP = """\
Keep DIR equal to the account until Ctrl-C; `dbx sync DIR` is the same. A folder that was not added before is added, as
`dbx sync add` does.

Exit codes, beside those of all commands: 3 if the token of this device was revoked; the state is kept, and
`dbx sync add DIR` makes a new token. With --once 1 if changes are left or a question is open, 4 without a connection.
"""

_ADD = """\
Add a folder. This makes a personal access token for this device (files:read, files:write, share), which `dbx sync` uses
from then on. A folder whose token was revoked gets a new one. Signed in with a personal token, that one is used.
"""

_REMOVE = """\
End the synchronization of a folder: the token of this device is revoked, and the device leaves the list of the account.
All files stay, here and on the server.
"""

_QUESTION = """\
Questions are asked before many files are deleted, before many conflict copies are made, and when a share is gone from
the disk. `dbx status` shows them. A confirmation lets it happen; a rejection brings the files back. Deleted files are
in the trash of the server, or in .dbx/trash here, for 30 days.
"""


def add_sync_commands(commands: "Commands") -> None:
    actions = add_group(
        commands, "sync", "DIR | add | remove | ...", "keep folders equal to the account", description=_SYNC
    )
    _add_keep_command(actions)
    _add_root_commands(actions)
    _add_service_commands(actions)
    _add_control_commands(actions)
    command = add_reporting_command(commands, "status", "sync.status", "show what `dbx sync` does, and what waits")
    _add_roots_argument(command)
    command = add_reporting_command(commands, "conflicts", "sync.conflicts", "list the conflict copies that were made")
    _add_roots_argument(command)


def _add_keep_command(actions: "Commands") -> None:
    command = add_reporting_command(
        actions, "keep", "sync.keep", "keep DIR equal to the account; `keep` may be left out", description=_KEEP
    )
    command.add_argument("folder", metavar="DIR", type=local_path, help="a folder on this computer")
    _add_new_root_options(command)
    how = command.add_mutually_exclusive_group()
    how.add_argument("--once", action="store_true", help="exit when both sides agree, as far as they can")
    how.add_argument("--dry-run", action="store_true", help="list what would be done first, and change nothing")


def _add_new_root_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--folder",
        dest="remote",
        metavar="PATH",
        type=own_path,
        help="the folder on the server; created if missing (default: all own files and shares)",
    )
    command.add_argument("--name", metavar="NAME", type=plain_text, help="name of this device (default: the host name)")


def _add_root_commands(actions: "Commands") -> None:
    command = add_command(actions, "add", "sync.add", "add a folder", description=_ADD)
    command.add_argument("folder", metavar="DIR", type=local_path, help="a folder here; its parent must exist")
    _add_new_root_options(command)
    command = add_command(
        actions, "remove", "sync.remove", "end the synchronization of a folder; keeps all files", description=_REMOVE
    )
    _add_root_argument(command)
    add_reporting_command(actions, "list", "sync.list_roots", "list the folders that were added")

    command = add_command(actions, "exclude", "sync.exclude", "keep folders of the server off this device")
    _add_paths_arguments(command, "folders below DIR, as photos/2019; their unchanged files leave the disk")
    command = add_command(actions, "include", "sync.include", "keep excluded folders on this device again")
    _add_paths_arguments(command, "folders that were excluded")

    command = add_command(actions, "limit", "sync.limit", "limit the bandwidth; without options: show the limits")
    _add_root_argument(command)
    for flag, what in (("--up", "sent"), ("--down", "fetched")):
        command.add_argument(flag, metavar="RATE", type=rate_bytes_s, help=f"bytes {what} a second: 500K, 2M, off")


def _add_service_commands(actions: "Commands") -> None:
    add_command(actions, "run", "sync.run", "keep all added folders in sync until Ctrl-C: what the service runs")
    command = add_command(actions, "service", "sync.service", "keep all folders in sync in the background (systemd)")
    command.add_argument("action", choices=["install", "remove"])


def _add_control_commands(actions: "Commands") -> None:
    for name, summary in (("pause", "pause synchronization"), ("resume", "end the pause")):
        _add_roots_argument(add_command(actions, name, f"sync.{name}", summary))
    for name, summary in (("confirm", "let happen what was asked"), ("reject", "refuse what was asked")):
        _add_roots_argument(add_command(actions, name, f"sync.{name}", summary, description=_QUESTION))
    command = add_command(actions, "log", "sync.log", "print the log of a folder")
    _add_roots_argument(command)
    command.add_argument("-f", "--follow", action="store_true", help="wait for new lines until Ctrl-C")
    _add_roots_argument(
        add_command(
            actions,
            "doctor",
            "sync.doctor",
            "check state, disk, server and system",
            description="Check state, disk, server and system; changes nothing. Exits with 1 if a line begins with !!.",
        )
    )


def _add_root_argument(command: argparse.ArgumentParser) -> None:
    command.add_argument("folder", metavar="DIR", type=local_path, help="a folder that was added")


def _add_roots_argument(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "folder", metavar="DIR", nargs="?", type=local_path, help="a folder that was added (default: all)"
    )


def _add_paths_arguments(command: argparse.ArgumentParser, help_text: str) -> None:
    _add_root_argument(command)
    command.add_argument("paths", metavar="PATH", nargs="+", type=local_path, help=help_text)


def rate_bytes_s(text: str) -> int:
    """Read a rate such as 500K or 2M; 0 for "off"."""
    return 0 if text == "off" else size_bytes(text)
