"""What can be typed: every command of `dbx` with its arguments, and the help that is shown.

A command names the function that runs it ("files.ls" is `commands/files.py`), so that reading what was typed imports
nothing but argparse. The type of an argument says what it is, which is what `completion` goes by.
"""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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

environment:
  DBX_SERVER      address of the server
  DBX_CONFIG_DIR  where the sign-in is kept
"""

_UPLOAD = """\
Send files and folders.

DEST is always a folder, made if need be; the root folder when left out. The last of several arguments is DEST if it
begins with "/" and there is no such thing on this computer. If there is, say --to DEST.

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

_COMPLETION = """\
Print a script for your shell that completes commands, options, and paths on both sides. To load it:

  bash   source <(dbx completion bash)          in ~/.bashrc
  zsh    source <(dbx completion zsh)           in ~/.zshrc, after compinit
  fish   dbx completion fish | source           in ~/.config/fish/config.fish
"""


def remote(path: str) -> str:
    """Read a path on the server; the slash in front may be left out."""
    return "/" + path.strip("/")


def local(path: str) -> str:
    """Read a path on this computer."""
    return path


def either(path: str) -> str:
    """Read a path on this computer or the server."""
    return path


def remote_or_id(text: str) -> str:
    """Read what may be the id of something in the trash, or its old path."""
    return text if _is_id(text) else remote(text)


def _is_id(text: str) -> bool:
    return len(text) == 36 and text.count("-") == 4 and not text.strip("0123456789abcdefABCDEF-")


def at_least_one(text: str) -> int:
    """Read a count."""
    if int(text) < 1:
        raise ValueError(text)
    return int(text)


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
    _uploads(commands)
    _account(commands)
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
        "local", metavar="LOCAL", nargs="?", type=local, default=".", help="a folder, or the new path of a file"
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
        commands, "restore", "trash.restore", "bring back deleted files, or an older version", description=_RESTORE
    )
    command.add_argument("things", metavar="PATH|ID", nargs="+", type=remote_or_id)
    command.add_argument("--to", metavar="FOLDER", type=remote, help="not to its old place")
    command.add_argument("--version", metavar="N|ID", help="one of `dbx versions`; of one file only")

    help_text = "show or empty the trash"
    group = commands.add_parser("trash", help=help_text, description="Without a word more: list it.")
    actions = group.add_subparsers(metavar="list | empty | rm", required=True)
    _command(actions, "list", "trash.list_trash", "show when it was deleted, size, old path and id; last deleted first")
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
    command = _command(commands, "login", "account.login", "sign in; what is missing is asked for", json=False)
    command.add_argument("--server", metavar="URL", help=f"address of the server (default: {DEFAULT_SERVER})")
    command.add_argument("--email", metavar="EMAIL", help="address of your account")
    command.add_argument("--register", action="store_true", help="make the account first")
    command.add_argument("--password-stdin", action="store_true", help="read the password from stdin")
    _command(commands, "logout", "account.logout", "sign out, here and on the server", json=False)
    _command(commands, "whoami", "account.whoami", "show the account and how much of its quota is used")


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
