"""The arguments of events, activity and watch."""

from typing import TYPE_CHECKING

from dropbox_client.cli.arguments import (
    add_command,
    add_reporting_command,
    command_word,
    local_path,
    moment,
    plain_text,
    positive_int,
    remote_path,
)

if TYPE_CHECKING:
    import argparse

    from dropbox_client.cli.arguments import Commands

EVENT_KINDS = (
    "file.created",
    "file.updated",
    "file.renamed",
    "file.moved",
    "file.trashed",
    "file.restored",
    "file.deleted",
    "file.verified",
    "file.quarantined",
    "file.damaged",
    "file.repaired",
    "file.processing",
    "share.granted",
    "share.changed",
    "share.revoked",
)

_EVENTS = """\
List the events of your files and of items shared with you: of the last 24 hours, since TIME, or after a cursor. With
PATH: only events at or below it. An event shows its file as it is now, not as it was then.

--follow starts now and runs until Ctrl-C. It continues across restarts of the server and network failures, and prints
each event once. With --json each event has a `cursor`: pass it to --cursor to resume later.

Moving or deleting a folder is one event; its contents have none of their own. An event of a folder above PATH is
reported as an event of PATH. With PATH, events of items that were moved out or permanently deleted before dbx started
are not shown.
"""

_WATCH = """\
Run COMMAND for every change at or below PATH from now on, one after the other, until Ctrl-C.

  dbx watch /in -- sh -c '[ -z "$DBX_PATH" ] || dbx download "$DBX_PATH" inbox'
  dbx watch --coalesce 10 --state ~/.site.state shared:Team/site -- make publish

Moving or deleting a folder is one event; its contents have none of their own. An event of a folder above PATH is
reported as an event of PATH.

COMMAND gets the event as a line of JSON on stdin, and these environment variables:

  DBX_EVENT     id of the event
  DBX_KIND      kind of the event, such as file.created
  DBX_FILE_ID   id of the file or folder
  DBX_PATH      its current path; empty if it is gone
  DBX_OLD_PATH  its previous path, if that is known and different
  DBX_COUNT     number of changes of this run; with --coalesce, stdin has a line for each, and the other variables
                describe the last one

With --state, FILE stores the position. Changes while dbx is not running are processed at the next start, and a change
counts as processed only after COMMAND has ended: if dbx is killed before, COMMAND runs again for the same change. Items
that appeared and disappeared (also into the trash) before dbx could see them are skipped.

If COMMAND fails, dbx reports it and continues with the next change. With --exit-on-error dbx exits instead, and with
--state the next start begins with that change. Ctrl-C, TERM and HUP are passed on to COMMAND and its children, and dbx
exits after them; a second signal kills them.
"""


def add_event_commands(commands: "Commands") -> None:
    command = add_reporting_command(commands, "events", "events.events", "list or follow events", description=_EVENTS)
    command.add_argument("path", metavar="PATH", nargs="?", type=remote_path, help="only events at or below this path")
    command.add_argument("-f", "--follow", action="store_true", help="wait for new events until Ctrl-C")
    begin = command.add_mutually_exclusive_group()
    begin.add_argument(
        "--since", metavar="TIME", type=moment, help="start at a time or so long ago: 30m, 2h, 7d, 2026-11-20T14:30"
    )
    begin.add_argument("--cursor", metavar="CURSOR", type=plain_text, help="start after an event that --json printed")
    _add_kind_option(command)

    command = add_reporting_command(
        commands, "activity", "events.activity", "list what happened to your files and who did it, newest first"
    )
    command.add_argument("--kind", metavar="KIND", choices=EVENT_KINDS, help="only events of this kind")
    command.add_argument("--limit", metavar="N", type=positive_int, default=50, help="at most N events (default: 50)")

    command = add_command(commands, "watch", "events.watch", "run a command for every change", description=_WATCH)
    command.usage = "dbx watch [options] PATH -- COMMAND [ARGUMENT...]"
    command.add_argument(
        "path",
        metavar="PATH",
        type=remote_path,
        help="a file or folder; it is followed when it moves, and a new item at its old path is ignored",
    )
    command.add_argument(
        "command", metavar="COMMAND", nargs="+", type=command_word, help="the command and its arguments"
    )
    _add_kind_option(command)
    command.add_argument(
        "--coalesce",
        metavar="SECONDS",
        type=positive_int,
        help="collect changes for SECONDS after the first one, and run COMMAND once for all of them",
    )
    command.add_argument(
        "--state", metavar="FILE", type=local_path, help="store the position in FILE and resume from it"
    )
    command.add_argument("--once", action="store_true", help="exit after the first run, with 1 if it failed")
    command.add_argument("--exit-on-error", action="store_true", help="exit with 1 if COMMAND fails")


def _add_kind_option(command: "argparse.ArgumentParser") -> None:
    command.add_argument(
        "--kind",
        dest="kinds",
        metavar="KIND",
        action="append",
        choices=EVENT_KINDS,
        help="only events of this kind, such as file.created; repeatable",
    )
