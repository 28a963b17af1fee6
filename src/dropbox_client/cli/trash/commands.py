"""restore, trash."""

import sys
from argparse import Namespace
from collections.abc import Iterable

from dropbox_client.cli import output, remote
from dropbox_client.cli.arguments import is_prefixed
from dropbox_client.cli.environment import connect, for_each
from dropbox_client.client import Client
from dropbox_client.errors import ApiError, ClientError, Usage
from dropbox_client.models import File, normalize_name


class NotInTrash(ClientError):
    """No item in the trash had this path."""


def restore(options: Namespace) -> int:
    """Restore deleted files, or an older version of a file."""
    if options.version:
        if options.to or len(options.things) > 1:
            raise Usage("--version needs exactly one file, and cannot be combined with --to")
        _restore_version(options)
        return 0
    if any(map(is_prefixed, options.things)):
        raise Usage("restore what you deleted in a shared folder by its id: `dbx activity --kind file.trashed --json`")
    with connect() as client:
        trashed = _TrashedPaths(client, [thing for thing in options.things if thing.startswith("/")])

        def restore_one(thing: str) -> None:
            file_id = trashed.get_id(thing) if thing.startswith("/") else thing
            output.print_placed(thing, _restore_file(client, file_id, options.to), options.format)

        return for_each(options.things, restore_one)


def _restore_version(options: Namespace) -> None:
    path: str = options.things[0]
    with connect() as client:
        file = remote.get_file(client, path)
        file = client.revisions.restore(file.id, remote.get_revision(client, file, options.version).id)
        output.print_placed(f"{path} version {options.version}", file, options.format)


def _restore_file(client: Client, file_id: str, folder: str | None) -> File:
    try:
        return client.trash.restore(file_id, parent_path=folder)
    except ApiError as problem:
        if problem.code != "not-found":
            raise
        try:
            return client.files.get(file_id)  # already restored: the response of the first attempt was lost
        except ApiError:
            raise problem from None


class _TrashedPaths:
    """The items in the trash that had certain paths, found in one pass over the trash."""

    def __init__(self, client: Client, paths: Iterable[str]) -> None:
        self._matches: dict[str, list[File]] = {normalize_name(path): [] for path in paths}
        self._ancestors: dict[str, File] = {}
        if not self._matches:
            return
        ancestors = {folder for key in self._matches for folder in _list_ancestors(key)}
        for file in client.trash.list():
            key = normalize_name(file.path)
            if key in self._matches and len(self._matches[key]) < 2:
                self._matches[key].append(file)
            if key in ancestors and file.kind == "folder":
                self._ancestors.setdefault(key, file)

    def get_id(self, path: str) -> str:
        """Return the id of the last deleted item that had this path. Raises NotInTrash."""
        key = normalize_name(path)
        matches = self._matches[key]
        if not matches:
            folder = next((self._ancestors[above] for above in _list_ancestors(key) if above in self._ancestors), None)
            hint = f"; its folder {folder.path} is in the trash: restore that" if folder else ""
            raise NotInTrash(f"not in the trash{hint}")
        if len(matches) > 1:
            output.print_error(f"several items in the trash were at {path}: restoring the last deleted one")
        return matches[0].id


def _list_ancestors(path: str) -> list[str]:
    names = path.split("/")
    return ["/".join(names[:count]) for count in range(len(names) - 1, 1, -1)]


def list_trash(options: Namespace) -> None:
    """List the trash."""
    with connect() as client:
        output.print_results(client.trash.list(), _describe_trashed, options.format)


def _describe_trashed(file: File) -> str:
    path = f"{file.path}/" if file.kind == "folder" else file.path
    when = output.format_time(file.trashed_at or file.modified_at)
    return f"{when}  {output.format_size_column(file.size_bytes)}  {file.id}  {path}"


def empty_trash(options: Namespace) -> int:
    """Permanently delete the contents of the trash."""
    if not options.yes:
        if not sys.stdin.isatty():
            raise Usage("no terminal to ask for confirmation: use --yes to delete the contents of the trash")
        if output.ask("Permanently delete the contents of the trash? [y/N] ").strip().lower() not in {"y", "yes"}:
            output.print_note("nothing was deleted")
            return 1
    with connect() as client:
        client.trash.empty()
    return 0


def purge(options: Namespace) -> int:
    """Permanently delete items of the trash."""
    with connect() as client:
        return for_each(options.ids, client.trash.purge)
