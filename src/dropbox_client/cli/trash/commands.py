"""Bringing back what was deleted or replaced, and deleting for good."""

import sys
import unicodedata
from argparse import Namespace
from collections.abc import Iterable

from dropbox_client.api import Client
from dropbox_client.cli import output, remote
from dropbox_client.cli.arguments import is_foreign
from dropbox_client.cli.environment import connect, for_each
from dropbox_client.errors import ApiProblem, ClientError, Usage
from dropbox_client.models import File, Revision


class NotInTrash(ClientError):
    """Nothing that was deleted had this path."""


def restore(options: Namespace) -> int:
    """Bring back deleted files, or an older version of one."""
    if options.version and (options.to or len(options.things) > 1):
        raise Usage("--version goes with one file, and leaves it where it is")
    if not options.version and any(map(is_foreign, options.things)):
        raise Usage("what others own is in their trash: it is theirs to bring back")
    with connect() as client:
        if options.version:
            path: str = options.things[0]
            file = remote.find(client, path)
            file = client.restore_revision(file.id, find_revision(client, file, options.version).id)
            output.placed(f"{path} version {options.version}", file, json=options.json)
            return 0
        trashed = _Trashed(client, [thing for thing in options.things if thing.startswith("/")])

        def bring_back(thing: str) -> None:
            file_id = trashed.id_of(thing) if thing.startswith("/") else thing
            output.placed(thing, _restored(client, file_id, options.to), json=options.json)

        return for_each(options.things, bring_back)


def find_revision(client: Client, file: File, wanted: str) -> Revision:
    """Return the revision of a file that has this number or id. Raises ClientError when it has none."""
    for revision in client.revisions(file.id):
        if wanted in {str(revision.number), revision.id}:
            return revision
    raise ClientError(f"{remote.shown(file)} has no version {wanted}: `dbx versions` lists them")


def _restored(client: Client, file_id: str, folder: str | None) -> File:
    try:
        return client.restore(file_id, parent_path=folder)
    except ApiProblem as problem:
        if problem.code != "not-found":
            raise
        try:
            return client.file(file_id)  # it is back: the answer to our first try was lost
        except ApiProblem:
            raise problem from None


class _Trashed:
    """What lies in the trash under some old paths. One look at the trash, however much it holds."""

    def __init__(self, client: Client, paths: Iterable[str]) -> None:
        self._found: dict[str, list[File]] = {_key(path): [] for path in paths}
        self._above: dict[str, File] = {}
        if not self._found:
            return
        above = {folder for key in self._found for folder in _folders_above(key)}
        for file in client.list_trash():
            key = _key(file.path)
            if key in self._found and len(self._found[key]) < 2:
                self._found[key].append(file)
            if key in above and file.kind == "folder":
                self._above.setdefault(key, file)

    def id_of(self, path: str) -> str:
        """Return the id of what was deleted last of those that had this path. Raises NotInTrash."""
        found = self._found[_key(path)]
        if not found:
            folder = next((self._above[key] for key in _folders_above(_key(path)) if key in self._above), None)
            hint = f": {folder.path} was deleted as a whole, restore that" if folder else ""
            raise NotInTrash(f"nothing in the trash had this path{hint}")
        if len(found) > 1:
            output.note(f"dbx: several things in the trash were at {path}; this is the last one: `dbx trash` shows all")
        return found[0].id


def _key(path: str) -> str:
    """Return what makes paths the same: neither case nor Unicode form counts."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())


def _folders_above(path: str) -> list[str]:
    names = path.split("/")
    return ["/".join(names[:count]) for count in range(len(names) - 1, 1, -1)]


def list_trash(options: Namespace) -> None:
    """Show what is in the trash."""
    with connect() as client:
        for file in client.list_trash():
            output.trashed(file, json=options.json)


def empty(options: Namespace) -> int:
    """Delete for good all that is in the trash."""
    if not options.yes:
        if not sys.stdin.isatty():
            raise Usage("there is nobody to ask: say --yes to delete for good all that is in the trash")
        if output.ask("Delete for good all that is in the trash? [y/N] ").strip().lower() not in {"y", "yes"}:
            output.note("nothing was deleted")
            return 1
    with connect() as client:
        client.empty_trash()
    return 0


def purge(options: Namespace) -> int:
    """Delete for good some of what is in the trash."""
    with connect() as client:
        return for_each(options.ids, client.purge)
