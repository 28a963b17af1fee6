"""Looking at the tree, and changing it."""

from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import islice
from unicodedata import normalize

from dropbox_client.api import Client
from dropbox_client.cli import output, remote
from dropbox_client.cli.arguments import is_foreign
from dropbox_client.cli.environment import connect, for_each
from dropbox_client.errors import ApiProblem, Usage
from dropbox_client.models import File, OnConflict, Order

_PAGE_OF_SEARCH = 100


# Looking


def ls(options: Namespace) -> None:
    """List a folder, or show a file."""
    if options.recursive and (options.by or options.reverse):
        raise Usage("-R lists by path: -S, -t and -r do not go with it")
    by: str = options.by or "name"
    falling = options.reverse != (by != "name")  # names rise; the largest and the latest come first
    order: Order = f"-{by}" if falling else by  # type: ignore[assignment] # of what the parser allows
    with connect() as client:
        folder = remote.find(client, options.path) if is_foreign(options.path) else None
        above = (folder.path if folder else options.path).rstrip("/") + "/"
        parent_id = folder.id if folder else None
        try:
            for file in client.list_files(options.path, parent_id=parent_id, order=order, recursive=options.recursive):
                name = file.path.removeprefix(above) if options.recursive else file.name
                output.listed(file, name, long=options.long, json=options.json)
        except ApiProblem as problem:
            if problem.code != "not-a-folder":
                raise
            file = folder or client.file_by_path(options.path)
            output.listed(file, file.name, long=options.long, json=options.json)


def search(options: Namespace) -> None:
    """Find files and folders by words of their names."""
    filters = {"content_type": options.type, "kind": options.kind}
    if not (options.words or options.type or options.kind):
        raise Usage("say what to search for: words, --type or --kind")
    with connect() as client:
        if options.folder and is_foreign(options.folder):
            filters["parent_id"] = remote.find(client, options.folder).id
        else:
            filters["path"] = options.folder
        found = client.search(" ".join(options.words) or None, page=min(options.limit, _PAGE_OF_SEARCH), **filters)
        for file in islice(found, options.limit):
            output.listed(file, remote.shown(file), long=options.long, json=options.json)


def versions(options: Namespace) -> None:
    """List the versions of a file, newest first."""
    with connect() as client:
        for revision in client.revisions(remote.find(client, options.path).id):
            output.revision(revision, json=options.json)


# Changing


def mkdir(options: Namespace) -> int:
    """Make folders."""
    with connect() as client:

        def make(path: str) -> None:
            made = remote.make_folder(client, path, parents=options.parents)
            if options.json:
                output.record(made)

        return for_each(options.paths, make)


@dataclass(frozen=True, slots=True)
class _Destination:
    """Where `mv` and `cp` put things: into a folder, under a new name if there is one."""

    folder: File
    name: str | None = None

    def holds(self, file: File, on_conflict: OnConflict) -> bool:
        """Tell whether a file is where it was to go."""
        name = normalize("NFC", self.name or file.name)
        return file.parent_id == self.folder.id and (on_conflict == "rename" or name == file.name)


def mv(options: Namespace) -> int:
    """Rename or move files and folders."""
    return _put(options, _move)


def cp(options: Namespace) -> int:
    """Copy files and folders."""
    return _put(options, _copy)


def _put(options: Namespace, act: Callable[[Client, File, _Destination, OnConflict], File]) -> int:
    with connect() as client:
        there = _find(client, options.dest)
        if len(options.sources) > 1 and (there is None or there.kind != "folder"):
            raise Usage(f"{options.dest} is not a folder: several things cannot become one")

        def put(path: str) -> None:
            seen = remote.find(client, path)
            if there and there.kind == "folder" and there.id != seen.id:
                into = _Destination(there)
            else:  # also where only case changes: then what is found there is the source itself
                above, name = remote.parent(options.dest)
                into = _Destination(remote.find(client, above), name)
            file = act(client, seen, into, options.on_conflict)
            output.placed(remote.shown(seen), file, json=options.json)

        return for_each(options.sources, put)


def _find(client: Client, path: str) -> File | None:
    try:
        return remote.find(client, path)
    except ApiProblem as problem:
        if problem.code != "not-found":
            raise
        return None


def _move(client: Client, seen: File, into: _Destination, on_conflict: OnConflict) -> File:
    move = partial(client.move, seen.id, name=into.name, parent_id=into.folder.id, on_conflict=on_conflict)
    try:
        return move(if_match=seen.etag)
    except ApiProblem as problem:
        if problem.code != "precondition-failed":
            raise
        now = client.file(seen.id)
        if now.path != seen.path:
            if into.holds(now, on_conflict):  # we did it, and only the answer was lost
                return now
            raise
    return move(if_match=now.etag)  # its content changed, or the like: it is still what was named


def _copy(client: Client, seen: File, into: _Destination, on_conflict: OnConflict) -> File:
    return client.copy(seen.id, name=into.name, parent_id=into.folder.id, on_conflict=on_conflict)


def rm(options: Namespace) -> int:
    """Move files and folders to the trash."""
    with connect() as client:
        failed = for_each(options.paths, partial(_remove, client, force=options.force))
    gone = len(options.paths) - failed
    if gone:
        output.note(f"{gone} moved to the trash; `dbx restore` brings back what you name")
    return failed


def _remove(client: Client, path: str, *, force: bool) -> None:
    seen = remote.find(client, path)
    try:
        client.trash(seen.id, force=force, if_match=seen.etag)
    except ApiProblem as problem:
        if problem.code == "not-found":  # gone since we looked, perhaps by a request of ours whose answer was lost
            return
        if problem.code != "precondition-failed":
            raise
        seen = remote.find(client, path)
        client.trash(seen.id, force=force, if_match=seen.etag)
