"""The arguments of ls, recent, search, versions, mkdir, mv, cp and rm."""

from typing import TYPE_CHECKING

from dropbox_client.cli.arguments import (
    add_command,
    add_conflict_option,
    add_reporting_command,
    plain_text,
    positive_int,
    remote_path,
)

if TYPE_CHECKING:
    from dropbox_client.cli.arguments import Commands

_MV = """\
Rename or move files and folders of any size, without a transfer. If DEST is a folder, they are moved into it; otherwise
DEST is the new path.
"""

_CP = """\
Copy files and folders with their contents on the server: nothing is transferred, and the quota is not charged. If DEST
is a folder, they are copied into it; otherwise DEST is the path of the copy. Folders need no -r.

To or from a shared folder of another owner, a worker of the server copies the content, and the quota of DEST's owner is
charged.
"""

_RM = """\
Move files and folders with their contents to the trash. `dbx restore` restores them until the trash is emptied or their
retention ends; `dbx trash` lists them.
"""


def add_file_commands(commands: "Commands") -> None:
    _add_reading_commands(commands)
    _add_changing_commands(commands)


def _add_reading_commands(commands: "Commands") -> None:
    command = add_reporting_command(commands, "ls", "files.ls", "list a folder, or show a file")
    command.add_argument("path", metavar="PATH", nargs="?", type=remote_path, default="/")
    command.add_argument(
        "-l", "--long", action="store_true", help="also show kind, size, time, content and processing state, owner"
    )
    command.add_argument("-R", "--recursive", action="store_true", help="list the whole tree, by path")
    by = command.add_mutually_exclusive_group()
    by.add_argument("-S", dest="by", action="store_const", const="size", help="sort by size, largest first")
    by.add_argument("-t", dest="by", action="store_const", const="modified", help="sort by time, last change first")
    command.add_argument("-r", "--reverse", action="store_true", help="reverse the order")

    command = add_reporting_command(
        commands, "recent", "files.recent", "list your own files of all folders, last changed first"
    )
    command.add_argument("-l", "--long", action="store_true", help="show details as `dbx ls -l`")
    command.add_argument("--limit", metavar="N", type=positive_int, default=20, help="at most N files (default: 20)")

    command = add_reporting_command(
        commands, "search", "files.search", "find files and folders by words of their names"
    )
    command.add_argument(
        "words",
        metavar="WORD",
        nargs="*",
        type=plain_text,
        help="a part of the name; similar spellings match too; optional with --type or --kind",
    )
    command.add_argument("--in", dest="folder", metavar="FOLDER", type=remote_path, help="only below this folder")
    command.add_argument(
        "--type", metavar="TYPE", type=plain_text, help="only files of this content type: image/png, or all of image/"
    )
    command.add_argument("--kind", choices=["file", "folder"], help="only files, or only folders")
    command.add_argument("-l", "--long", action="store_true", help="show details as `dbx ls -l`")
    command.add_argument(
        "--limit", metavar="N", type=positive_int, default=100, help="at most N results (default: 100)"
    )

    command = add_reporting_command(commands, "versions", "files.versions", "list the versions of a file, newest first")
    command.add_argument("path", metavar="PATH", type=remote_path)
    change = command.add_mutually_exclusive_group()
    change.add_argument(
        "--pin", metavar="N|ID", type=plain_text, help="keep this version as long as the file, whatever its age"
    )
    change.add_argument(
        "--unpin", metavar="N|ID", type=plain_text, help="let the server remove this version once it is old"
    )


def _add_changing_commands(commands: "Commands") -> None:
    command = add_reporting_command(commands, "mkdir", "files.mkdir", "create folders")
    command.add_argument("paths", metavar="PATH", nargs="+", type=remote_path)
    command.add_argument(
        "-p", "--parents", action="store_true", help="also create missing parents; accept an existing folder"
    )
    for name, summary, description in (
        ("mv", "rename or move files and folders", _MV),
        ("cp", "copy files and folders on the server", _CP),
    ):
        command = add_reporting_command(commands, name, f"files.{name}", summary, description=description)
        command.add_argument("sources", metavar="SRC", nargs="+", type=remote_path)
        command.add_argument("dest", metavar="DEST", type=remote_path)
        add_conflict_option(
            command, "fail", "if the name is taken: fail (default), use `name (1).ext`, or replace the existing file"
        )
    command = add_command(commands, "rm", "files.rm", "move files and folders to the trash", description=_RM)
    command.add_argument("paths", metavar="PATH", nargs="+", type=remote_path)
    command.add_argument("-f", "--force", action="store_true", help="even while a processor works on a file")
