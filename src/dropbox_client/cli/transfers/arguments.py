"""The arguments of upload, download, cat and uploads."""

from typing import TYPE_CHECKING

from dropbox_client.cli.arguments import (
    add_command,
    add_conflict_option,
    add_group,
    add_reporting_command,
    any_path,
    local_path,
    object_id,
    plain_text,
    remote_path,
)

if TYPE_CHECKING:
    from dropbox_client.cli.arguments import Commands

_UPLOAD = """\
Upload files and folders.

DEST is a folder; it is created if missing. The default is the root folder. The last of several arguments is DEST
if it begins with "/", shared: or id: and does not exist on this computer. If it exists there, use --to DEST.
If DEST is the id: or shared: name of a file, the content of the one PATH becomes its new version.
If DEST is the address of an upload link, https://SERVER/s/TOKEN, its owner gets the files; no sign-in is needed. They
replace nothing there, and empty folders are not sent.

Content that the server has is not sent again, and an interrupted upload resumes: run the same command again. Symbolic
links inside folders are reported and not followed. Files that macOS and Windows make for themselves (.DS_Store,
Thumbs.db) are skipped.

  pg_dump shop | dbx upload - /backup --name shop.sql     the content of stdin (first copied to TMPDIR)
  dbx upload photos https://files.example.org/s/TOKEN     to an upload link
"""

_DOWNLOAD = """\
Download a file, or a folder with its contents. A file gets its name only after all its bytes are verified.

A folder becomes a folder of its name in LOCAL, which is created if missing. Local files with the same content are left
alone. Local files with other content are reported as errors, or replaced with --overwrite. Nothing is written outside
of the folder: names and symbolic links that lead out of it are refused. An interrupted download resumes: run the same
command again. Until then a large file is stored beside its target as .NAME.*.dbx-part.
"""

_CAT = """\
Write the content of files to stdout, verified. If the content does not match its fingerprint, its last 8 MiB (all of a
smaller file) are not written, and the exit code is 1.
"""


def add_transfer_commands(commands: "Commands") -> None:
    command = add_reporting_command(
        commands, "upload", "transfers.upload", "upload files and folders", description=_UPLOAD
    )
    command.usage = "dbx upload [options] PATH... [DEST]"
    command.add_argument(
        "paths", metavar="PATH... [DEST]", nargs="+", type=any_path, help="what to upload, and the folder or link"
    )
    command.add_argument("--to", metavar="DEST", type=any_path, help="the remote folder or upload link")
    command.add_argument(
        "--name", metavar="NAME", type=plain_text, help="the name of the file with the content of stdin"
    )
    add_conflict_option(
        command, "replace", "if the name is taken: fail, use `name (1).ext`, or add a version to the file (default)"
    )
    command.add_argument(
        "--compress",
        choices=["auto", "always", "never"],
        default="auto",
        help="send files of more than 8 MiB compressed: those that shrink, over a slow link (auto, the default); the"
        " server stores the content itself",
    )
    command.add_argument(
        "--password-stdin", action="store_true", help="read the password of the upload link from stdin"
    )
    command.add_argument(
        "--retry-changed", action="store_true", help="retry a file once that changes during the upload"
    )
    command.add_argument(
        "-v", "--verbose", action="store_true", help="also list the skipped files of macOS and Windows"
    )

    command = add_reporting_command(
        commands, "download", "transfers.download", "download a file or folder, verified", description=_DOWNLOAD
    )
    command.add_argument("remote", metavar="REMOTE", type=remote_path, help="path of the file or folder on the server")
    command.add_argument(
        "local",
        metavar="LOCAL",
        nargs="?",
        type=local_path,
        default=".",
        help="a folder (created if it ends with /), or the new path of a file",
    )
    command.add_argument("--overwrite", action="store_true", help="replace local files that have other content")
    command.add_argument("--version", metavar="N|ID", type=plain_text, help="an older version from `dbx versions`")

    command = add_command(commands, "cat", "transfers.cat", "write files to stdout, verified", description=_CAT)
    command.add_argument("paths", metavar="PATH", nargs="+", type=remote_path)
    command.add_argument(
        "--version", metavar="N|ID", type=plain_text, help="an older version from `dbx versions`; for one file only"
    )


def add_upload_session_commands(commands: "Commands") -> None:
    actions = add_group(commands, "uploads", "list | resume | abort", "list, resume or abort unfinished uploads")
    command = add_reporting_command(
        actions, "list", "transfers.list_uploads", "show id, state, progress, expiry and name"
    )
    command.add_argument("--all", action="store_true", help="include uploads that have ended")
    command = add_reporting_command(actions, "resume", "transfers.resume_upload", "resume an upload")
    command.add_argument("id", metavar="ID", type=object_id)
    command.add_argument("path", metavar="PATH", type=local_path, help="the local file")
    command = add_command(actions, "abort", "transfers.abort_upload", "abort an upload and free its space")
    command.add_argument("id", metavar="ID", type=object_id)
