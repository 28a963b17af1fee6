"""What can be typed: every command of `dbx` with its arguments, and the help that is shown.

A command names the function that runs it ("files.ls" is `ls` of `files/commands.py`), so that reading what was typed
imports nothing but argparse. The type of an argument says what it is, which is what `completion` goes by.
"""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - has no public name

DEFAULT_SERVER = "http://127.0.0.1:8000"

_EPILOG = """\
exit codes:
  0    done
  1    something failed; stderr says what
  2    wrong usage
  3    not signed in
  4    the server cannot be reached
  130  interrupted with Ctrl-C: run the same command again and it goes on where it was

places on the server:
  /photos/cat.jpg          in your own tree; the slash in front may be left out
  shared:Team/plan.txt     below what others share with you, by its name in `dbx shared`
  id:UUID/plan.txt         the same by id, which --json and `dbx shared -l` show

environment:
  DBX_SERVER      address of the server
  DBX_TOKEN       a personal access token of `dbx tokens create`: then no login is needed
  DBX_CONFIG_DIR  where the sign-in is kept
"""

_UPLOAD = """\
Send files and folders.

DEST is always a folder, made if need be; the root folder when left out. The last of several arguments is DEST if it
begins with "/", shared: or id: and there is no such thing on this computer. If there is, say --to DEST.

Content that is there already is not sent again, and an upload that was cut off goes on where it was: run the same
command again. In folders, symbolic links are reported and not followed.
"""

_DOWNLOAD = """\
Fetch a file, or a folder with all that is in it. Nothing appears under its name before every byte was verified.

A folder becomes a folder of its name in LOCAL, which is made if need be. Files that are there already are left alone;
those with other content are reported, or replaced with --overwrite. Nothing is written outside that folder: names that
lead out of it, or through a symbolic link, are refused. What was cut off goes on where it was: run the same command
again. Until then a large file is kept beside its place as .NAME.*.dbx-part.
"""

_MV = """\
Rename or move files and folders, however large, in no time. If DEST is a folder, into it; else to that very path.
"""

_CP = """\
Copy files and folders with all that is in them: no bytes move, and none are charged. If DEST is a folder, into it; else
to that very path. No -r is needed for folders.
"""

_RM = """\
Move files and folders, with all that is in them, to the trash. `dbx restore` brings them back until the trash is
emptied or their time is over; `dbx trash` shows it.
"""

_RESTORE = """\
Bring back from the trash what was deleted, by its old path or its id, to its old place or to FOLDER. Of several that
had one path it is the one that was deleted last. What has the name now stays: the other one comes beside it.

With --version: make an older version of a file the newest again; what was the newest stays as an older one.
"""

_CAT = """\
Write the content of files to stdout, verified: if it is not what the server says it stores, the last 8 MiB (of a
smaller file: anything) are not written, and the exit code is 1.
"""

_SHARE = """\
Share a file, or a folder with all that is in it; without EMAIL: list who has access. Saying it again changes the role.

Whoever has an account and has confirmed that address sees it at once in `dbx shared`; for others it waits until they
have. `dbx unshare` ends it at once.
"""

_LINK = """\
Make a link, and print its address: whoever has it needs no account. People may download what it leads to, unless
--view or --upload says otherwise.
"""

_LOGIN = """\
Sign in; what is missing is asked for.

  dbx login --sso      at the identity provider of the server, in a browser that can reach this computer
  dbx login --token    with a personal access token of `dbx tokens create`, from DBX_TOKEN or else from stdin
"""

_EVENTS = """\
Tell what happened to your files and to what others share with you: in the last 24 hours, or since TIME, or after a
cursor. With PATH: at or below it. What is told of a file is how it is now, not how it was then.

With --follow it begins now and goes on until Ctrl-C: through restarts of the server and cuts of the network nothing is
left out or told twice. With --json each event has a `cursor`: --cursor goes on from there, another day if need be.

Of a folder that is moved or deleted one event tells, none of what is in it; what becomes of a folder above PATH is told
as of PATH. With PATH, what left it before dbx looked (moved elsewhere, or deleted for good) cannot be told from the
rest, and is left out.
"""

_WATCH = """\
Run COMMAND for every change at or below PATH from now on, one after the other, until Ctrl-C.

  dbx watch /in -- sh -c '[ -z "$DBX_PATH" ] || dbx download "$DBX_PATH" inbox'
  dbx watch --coalesce 10 --state ~/.site.state shared:Team/site -- make publish

Of a folder that is moved or deleted one event tells, none of what is in it; what becomes of a folder above PATH is told
as of PATH.

COMMAND finds the event as one line of JSON on its stdin, and in its environment:

  DBX_EVENT     id of the event
  DBX_KIND      what happened, such as file.created
  DBX_FILE_ID   id of the file or folder
  DBX_PATH      where it is now; empty when it is gone
  DBX_OLD_PATH  where it was before, if that is known and another place
  DBX_COUNT     how many changes this run is for: with --coalesce stdin has a line for each, and the rest is of the last

With --state, FILE keeps the place: what changes while dbx does not run is told when it runs again, and a change counts
as dealt with only after COMMAND has ended. When dbx is killed or ended before, COMMAND runs for it once more. What came
and went (into the trash, too) before dbx looked is left out.

A COMMAND that fails is reported, and dbx goes on with the next change; with --exit-on-error it ends, and with --state
begins with that change when it runs again. Ctrl-C, TERM and HUP are passed on to COMMAND and all that it has started,
and dbx ends when it has; another one kills them.
"""

_SECOND_FACTOR = """\
Turn the second factor on or off. With it signing in takes a code of an authenticator app as well, or one of the
recovery codes, each of which is good once.
"""

_COMPLETION = """\
Print a script for your shell that completes commands, options, and paths on both sides. To load it:

  bash   source <(dbx completion bash)          in ~/.bashrc
  zsh    source <(dbx completion zsh)           in ~/.zshrc, after compinit
  fish   dbx completion fish | source           in ~/.config/fish/config.fish
"""


SHARED, ID = "shared:", "id:"
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
SCOPES = ("files:read", "files:write", "share", "processing", "admin")


def remote(place: str) -> str:
    """Read a place on the server: /own/path (the slash in front may be left out), shared:NAME/path or id:UUID/path."""
    return place.rstrip("/") if is_foreign(place) else own(place)


def own(path: str) -> str:
    """Read a path of one's own tree; the slash in front may be left out."""
    return "/" + path.strip("/")


def is_foreign(place: str) -> bool:
    """Tell whether a place is named by what others share, or by an id."""
    return place.startswith(SHARED) or (place.startswith(ID) and is_id(place.removeprefix(ID).partition("/")[0]))


def local(path: str) -> str:
    """Read a path on this computer."""
    return path


def either(path: str) -> str:
    """Read a path on this computer or the server."""
    return path


def remote_or_id(text: str) -> str:
    """Read what may be the id of something in the trash, or its old path."""
    return text if is_id(text) else remote(text)


def is_id(text: str) -> bool:
    """Tell a UUID from a name."""
    return len(text) == 36 and text.count("-") == 4 and not text.strip("0123456789abcdefABCDEF-")


def at_least_one(text: str) -> int:
    """Read a count."""
    if int(text) < 1:
        raise ValueError(text)
    return int(text)


def duration_s(text: str) -> int:
    """Read a time such as 90d, 12h or 30m, in seconds."""
    seconds = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
    return at_least_one(text[:-1]) * seconds[text[-1:]] if text[-1:] in seconds else _refuse(text)


def moment(text: str) -> "datetime":
    """Read a time such as 2026-11-20 or 2026-11-20T14:30, local unless it says otherwise, or one that is 2h ago."""
    from datetime import UTC, datetime, timedelta  # noqa: PLC0415 - most commands need none

    if text[:-1].isdecimal():
        return datetime.now(UTC) - timedelta(seconds=duration_s(text))
    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: those are 30m, 2h, 7d or 2026-11-20T14:30") from None


def _refuse(text: str) -> int:
    raise argparse.ArgumentTypeError(f"{text!r} is no duration: those are 30m, 12h, 7d or 2w")


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version  # noqa: PLC0415 - slow, and only wanted here

        print(f"dbx {version('dropbox-api')}")  # noqa: T201
        parser.exit()


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands; what it reads has `run`, the function to call with it."""
    made = argparse.ArgumentParser(
        "dbx",
        description="Your files, in your own bucket.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = made.add_subparsers(metavar="COMMAND", required=True)
    _transfers(commands)
    _looking(commands)
    _changing(commands)
    _trash(commands)
    _sharing(commands)
    _events(commands)
    _uploads(commands)
    _account(commands)
    _access(commands)
    _shell(commands)
    return made


def _command(
    commands: "Commands", name: str, run: str | None, help_text: str, *, description: str = "", json: bool = True
) -> argparse.ArgumentParser:
    command = commands.add_parser(
        name,
        help=help_text,
        description=description or f"{help_text[:1].upper()}{help_text[1:]}.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if json:
        command.add_argument("--json", action="store_true", help="print one JSON object a line")
    command.set_defaults(run=run)
    return command


def _transfers(commands: "Commands") -> None:
    command = _command(commands, "upload", "transfers.upload", "send files and folders", description=_UPLOAD)
    command.usage = "dbx upload [options] PATH... [DEST]"
    command.add_argument("paths", metavar="PATH... [DEST]", nargs="+", type=either, help="what to send, and where to")
    command.add_argument("--to", metavar="DEST", type=either, help="the remote folder")
    command.add_argument(
        "--on-conflict",
        choices=["fail", "rename", "replace"],
        default="replace",
        help="when the name is taken: report it, take `name (1).ext`, or add a version to the file (default)",
    )
    command.add_argument("--retry-changed", action="store_true", help="try a file once more that changed while read")

    command = _command(
        commands, "download", "transfers.download", "fetch a file or folder, verified", description=_DOWNLOAD
    )
    command.add_argument("remote", metavar="REMOTE", type=remote, help="path of the file or folder on the server")
    command.add_argument(
        "local",
        metavar="LOCAL",
        nargs="?",
        type=local,
        default=".",
        help="a folder (made if it ends with /), or the new path of a file",
    )
    command.add_argument("--overwrite", action="store_true", help="replace local files of other content")
    command.add_argument("--version", metavar="N|ID", help="not the newest one of `dbx versions`")

    command = _command(
        commands, "cat", "transfers.cat", "write files to stdout, verified", description=_CAT, json=False
    )
    command.add_argument("paths", metavar="PATH", nargs="+", type=remote)
    command.add_argument("--version", metavar="N|ID", help="not the newest one of `dbx versions`; of one file only")


def _looking(commands: "Commands") -> None:
    command = _command(commands, "ls", "files.ls", "list a folder, or show a file")
    command.add_argument("path", metavar="PATH", nargs="?", type=remote, default="/")
    command.add_argument(
        "-l", "--long", action="store_true", help="kind, size, time, state of content and processing, owner as well"
    )
    command.add_argument("-R", "--recursive", action="store_true", help="all below it, by path")
    by = command.add_mutually_exclusive_group()
    by.add_argument("-S", dest="by", action="store_const", const="size", help="the largest first")
    by.add_argument("-t", dest="by", action="store_const", const="modified", help="what changed last first")
    command.add_argument("-r", "--reverse", action="store_true", help="in reverse order")

    command = _command(commands, "search", "files.search", "find files and folders by words of their names")
    command.add_argument(
        "words",
        metavar="WORD",
        nargs="*",
        help="a part of the name, or nearly so; none with --type or --kind: all of them",
    )
    command.add_argument("--in", dest="folder", metavar="FOLDER", type=remote, help="only below this folder")
    command.add_argument("--type", metavar="TYPE", help="only files of this content type: image/png, or all of image/")
    command.add_argument("--kind", choices=["file", "folder"], help="only files, or only folders")
    command.add_argument("-l", "--long", action="store_true", help="as `dbx ls -l`")
    command.add_argument("--limit", metavar="N", type=at_least_one, default=100, help="at most so many (default: 100)")

    command = _command(commands, "versions", "files.versions", "list the versions of a file, newest first")
    command.add_argument("path", metavar="PATH", type=remote)


def _changing(commands: "Commands") -> None:
    command = _command(commands, "mkdir", "files.mkdir", "make folders")
    command.add_argument("paths", metavar="PATH", nargs="+", type=remote)
    command.add_argument(
        "-p", "--parents", action="store_true", help="make what is missing above, too; one that is there is fine"
    )
    for name, help_text, description in (
        ("mv", "rename or move files and folders", _MV),
        ("cp", "copy files and folders; no bytes move", _CP),
    ):
        command = _command(commands, name, f"files.{name}", help_text, description=description)
        command.add_argument("sources", metavar="SRC", nargs="+", type=remote)
        command.add_argument("dest", metavar="DEST", type=remote)
        command.add_argument(
            "--on-conflict",
            choices=["fail", "rename", "replace"],
            default="fail",
            help="when the name is taken: report it (default), take `name (1).ext`, or replace the file there",
        )
    command = _command(commands, "rm", "files.rm", "move files and folders to the trash", description=_RM, json=False)
    command.add_argument("paths", metavar="PATH", nargs="+", type=remote)
    command.add_argument("-f", "--force", action="store_true", help="even while something on the server processes it")


def _trash(commands: "Commands") -> None:
    command = _command(
        commands,
        "restore",
        "trash.restore",
        "bring back deleted files, or an older version",
        description=_RESTORE,
    )
    command.add_argument("things", metavar="PATH|ID", nargs="+", type=remote_or_id)
    command.add_argument("--to", metavar="FOLDER", type=own, help="not to its old place")
    command.add_argument("--version", metavar="N|ID", help="one of `dbx versions`; of one file only")

    help_text = "show or empty the trash"
    group = commands.add_parser("trash", help=help_text, description="Without a word more: list it.")
    actions = group.add_subparsers(metavar="list | empty | rm", required=True)
    _command(
        actions,
        "list",
        "trash.list_trash",
        "show when it was deleted, size, old path and id; last deleted first",
    )
    command = _command(actions, "empty", "trash.empty", "delete for good all that is in the trash", json=False)
    command.add_argument("-y", "--yes", action="store_true", help="without asking")
    command = _command(actions, "rm", "trash.purge", "delete for good what is in the trash", json=False)
    command.add_argument("ids", metavar="ID", nargs="+", help="from `dbx trash`")


def _uploads(commands: "Commands") -> None:
    help_text = "show, resume or abort uploads that are not finished"
    group = commands.add_parser("uploads", help=help_text, description="Without a word more: list them.")
    actions = group.add_subparsers(metavar="list | resume | abort", required=True)
    command = _command(actions, "list", "transfers.list_uploads", "show progress, name, and until when it is kept")
    command.add_argument("--all", action="store_true", help="those that have ended, too")
    command = _command(actions, "resume", "transfers.resume", "go on with an upload")
    command.add_argument("id", metavar="ID")
    command.add_argument("path", metavar="PATH", type=local, help="the file that was being sent")
    command = _command(actions, "abort", "transfers.abort", "give up an upload and free what it holds", json=False)
    command.add_argument("id", metavar="ID")


def _account(commands: "Commands") -> None:
    command = _command(
        commands,
        "login",
        "account.login",
        "sign in; what is missing is asked for",
        description=_LOGIN,
        json=False,
    )
    command.add_argument("--server", metavar="URL", help=f"address of the server (default: {DEFAULT_SERVER})")
    command.add_argument("--email", metavar="EMAIL", help="address of your account")
    command.add_argument("--password-stdin", action="store_true", help="read the password from stdin")
    command.add_argument("--otp", metavar="CODE", help="of your second factor; asked for where it is needed")
    how = command.add_mutually_exclusive_group()
    how.add_argument("--register", action="store_true", help="make the account first")
    how.add_argument("--sso", action="store_true", help="sign in at the server's identity provider, in a browser")
    how.add_argument("--token", action="store_true", help="keep a personal access token instead of signing in")
    command.add_argument("--no-browser", action="store_true", help="with --sso: only print the address to open")
    _command(commands, "logout", "account.logout", "sign out, here and on the server", json=False)
    _command(commands, "whoami", "account.whoami", "show the account and how much of its quota is used")

    _command(
        commands,
        "password",
        "account.password",
        "change your password; all other sign-ins end",
        description="Change your password, or set your first one; asks for the old and the new one, a line of stdin"
        " each if that is no terminal.",
        json=False,
    )
    group = commands.add_parser(
        "second-factor",
        help="turn the second factor on or off",
        description=_SECOND_FACTOR,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = group.add_subparsers(metavar="enable | disable | recovery-codes", required=True)
    enabling = "turn it on; prints the recovery codes"
    _command(actions, "enable", "account.enable_second_factor", enabling, json=False)
    for name, run, help_text in (
        ("disable", "account.disable_second_factor", "turn it off"),
        ("recovery-codes", "account.recovery_codes", "print new recovery codes; the old ones are void"),
    ):
        command = _command(actions, name, run, help_text, json=False)
        command.add_argument("--otp", metavar="CODE", help="asked for when left out")


def _sharing(commands: "Commands") -> None:
    command = _command(
        commands, "share", "sharing.share", "share with people, or list who has access", description=_SHARE
    )
    command.add_argument("path", metavar="PATH", type=remote)
    command.add_argument("emails", metavar="EMAIL", nargs="*", help="address of whom to share it with")
    command.add_argument("--edit", action="store_true", help="they may change it, too, and not only see it")

    command = _command(commands, "unshare", "sharing.unshare", "stop sharing with people", json=False)
    command.add_argument("path", metavar="PATH", type=remote)
    command.add_argument("emails", metavar="EMAIL", nargs="+", help="address of whom to stop sharing it with")

    command = _command(commands, "shared", "sharing.shared", "list what others share with you")
    command.add_argument("-l", "--long", action="store_true", help="kind, size, time, your role, owner, id as well")

    command = _command(commands, "leave", "sharing.leave", "give up what others share with you", json=False)
    command.add_argument("things", metavar="NAME|ID", nargs="+", help="from `dbx shared`")

    command = _command(commands, "link", "sharing.link", "make a link, or list them", description=_LINK)
    command.add_argument("path", metavar="PATH", type=remote)
    mode = command.add_mutually_exclusive_group()
    mode.add_argument(
        "--view", dest="mode", action="store_const", const="view", help="they may look at it and not save it"
    )
    mode.add_argument(
        "--upload", dest="mode", action="store_const", const="upload", help="they send files into it, and see nothing"
    )
    mode.add_argument("--list", action="store_true", help="list the links there are, with their ids")
    password = command.add_mutually_exclusive_group()
    password.add_argument("--password", action="store_true", help="protect it by a password, which is asked for")
    password.add_argument("--password-stdin", action="store_true", help="protect it by a password, read from stdin")
    command.add_argument("--expires", metavar="TIME", type=duration_s, help="it ends after so long: 12h, 7d")
    command.add_argument("--max-downloads", metavar="N", type=at_least_one, help="it ends after so many downloads")
    command.set_defaults(mode="download")

    command = _command(commands, "unlink", "sharing.unlink", "end links, at once and for good", json=False)
    command.add_argument("ids", metavar="ID", nargs="+", help="from `dbx link --list PATH`")


def _events(commands: "Commands") -> None:
    command = _command(commands, "events", "events.events", "tell what happened, or happens now", description=_EVENTS)
    command.add_argument("path", metavar="PATH", nargs="?", type=remote, help="only what is at or below this place")
    command.add_argument("-f", "--follow", action="store_true", help="wait for what happens next, until Ctrl-C")
    begin = command.add_mutually_exclusive_group()
    begin.add_argument(
        "--since", metavar="TIME", type=moment, help="begin so long ago, or then: 30m, 2h, 7d, 2026-11-20T14:30"
    )
    begin.add_argument("--cursor", metavar="CURSOR", help="begin after an event that --json printed")
    _kinds(command)

    command = _command(
        commands, "watch", "events.watch", "run a command for every change", description=_WATCH, json=False
    )
    command.usage = "dbx watch [options] PATH -- COMMAND [ARGUMENT...]"
    command.add_argument(
        "path",
        metavar="PATH",
        type=remote,
        help="a file or folder; it is followed when it is moved, and what takes its place is another one",
    )
    command.add_argument("command", metavar="COMMAND", nargs="+", type=local, help="what to run, with its arguments")
    _kinds(command)
    command.add_argument(
        "--coalesce",
        metavar="SECONDS",
        type=at_least_one,
        help="collect changes for so long from the first one, and run COMMAND once for all of them",
    )
    command.add_argument(
        "--state", metavar="FILE", type=local, help="keep the place in FILE, and go on from it next time"
    )
    command.add_argument("--once", action="store_true", help="end after the first run, with 1 if it failed")
    command.add_argument("--exit-on-error", action="store_true", help="end when COMMAND fails, with 1")


def _kinds(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--kind",
        dest="kinds",
        metavar="KIND",
        action="append",
        choices=EVENT_KINDS,
        help="only events of this kind, such as file.created; can be repeated",
    )


def _access(commands: "Commands") -> None:
    help_text = "list, make or revoke personal access tokens, for programs"
    group = commands.add_parser("tokens", help=help_text, description="Without a word more: list them.")
    actions = group.add_subparsers(metavar="list | create | revoke", required=True)
    _command(actions, "list", "account.list_tokens", "show id, when it was used last and ends, scopes and name")
    command = _command(actions, "create", "account.create_token", "make a token; it is printed once, and never again")
    command.add_argument("name", metavar="NAME", help="what it is for")
    command.add_argument(
        "--scope", dest="scopes", action="append", choices=SCOPES, required=True, help="what it may do; can be repeated"
    )
    command.add_argument("--expires", metavar="TIME", type=duration_s, help="it ends after so long: 12h, 90d")
    command = _command(actions, "revoke", "account.revoke_tokens", "end tokens, at once", json=False)
    command.add_argument("ids", metavar="ID", nargs="+", help="from `dbx tokens`")

    help_text = "list where you are signed in, or end it there"
    group = commands.add_parser("devices", help=help_text, description="Without a word more: list them.")
    actions = group.add_subparsers(metavar="list | revoke | revoke-others", required=True)
    _command(
        actions,
        "list",
        "account.list_devices",
        "show id, when it was used last, address and program; * is this one",
    )
    command = _command(actions, "revoke", "account.revoke_devices", "end sign-ins, at once", json=False)
    command.add_argument("ids", metavar="ID", nargs="+", help="from `dbx devices`")
    _command(actions, "revoke-others", "account.revoke_other_devices", "end all sign-ins but this one", json=False)


def _shell(commands: "Commands") -> None:
    command = _command(
        commands,
        "completion",
        "completion.script",
        "print a script that completes what you type",
        description=_COMPLETION,
        json=False,
    )
    command.add_argument("shell", choices=["bash", "zsh", "fish"])
    command = commands.add_parser("complete-path")  # not in the help: the scripts call it
    command.add_argument("prefix")
    command.set_defaults(run="completion.complete_path")
