"""The arguments of restore and trash."""

from typing import TYPE_CHECKING

from dropbox_client.cli.arguments import (
    add_command,
    add_group,
    add_reporting_command,
    object_id,
    own_path,
    plain_text,
    remote_path_or_id,
)

if TYPE_CHECKING:
    from dropbox_client.cli.arguments import Commands

_RESTORE = """\
Restore files and folders from the trash by old path or id, to their old folder or to FOLDER. If several items in the
trash had this path, the last deleted one is restored. If the name is taken, the restored item gets a number.
An editor of a shared folder restores what they deleted there by its id, which `dbx activity --kind file.trashed --json`
shows.

With --version: make an older version of a file the newest. The current one remains as an older version.
"""


def add_trash_commands(commands: "Commands") -> None:
    command = add_reporting_command(
        commands, "restore", "trash.restore", "restore deleted files, or an older version", description=_RESTORE
    )
    command.add_argument("things", metavar="PATH|ID", nargs="+", type=remote_path_or_id)
    command.add_argument("--to", metavar="FOLDER", type=own_path, help="restore to this folder")
    command.add_argument(
        "--version", metavar="N|ID", type=plain_text, help="a version from `dbx versions`; for one file only"
    )

    actions = add_group(
        commands, "trash", "list | empty | rm", "list or empty the trash", description="Without an action: list it."
    )
    add_reporting_command(
        actions, "list", "trash.list_trash", "show time of deletion, size, id and old path; last deleted first"
    )
    command = add_command(actions, "empty", "trash.empty_trash", "permanently delete the contents of the trash")
    command.add_argument("-y", "--yes", action="store_true", help="do not ask for confirmation")
    command = add_command(actions, "rm", "trash.purge", "permanently delete items of the trash")
    command.add_argument("ids", metavar="ID", nargs="+", type=object_id, help="from `dbx trash`")
