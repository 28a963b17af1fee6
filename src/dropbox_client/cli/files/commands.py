"""ls, recent, search, versions, mkdir, mv, cp, rm."""

import time
from argparse import Namespace
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import islice
from unicodedata import normalize

from dropbox_client.cli import output, remote
from dropbox_client.cli.arguments import Format, is_prefixed
from dropbox_client.cli.environment import connect, for_each
from dropbox_client.client import Client
from dropbox_client.errors import ApiError, TransferFailed, Usage
from dropbox_client.models import (
    BatchResult,
    CopyOperation,
    File,
    MoveOperation,
    OnConflict,
    Operation,
    Order,
    Revision,
    TrashOperation,
)

_HITS_PER_PAGE = 100
_MAX_PER_PAGE = 1000
_MAX_PAUSE_S = 2.0
"""Between two looks at a copy that a worker makes."""


# Reading


def ls(options: Namespace) -> None:
    """List a folder, or show a file."""
    if options.recursive and (options.by or options.reverse):
        raise Usage("-R sorts by path: it cannot be combined with -S, -t or -r")
    by: str = options.by or "name"
    is_descending = options.reverse != (by != "name")  # names ascend; sizes and times descend
    order: Order = f"-{by}" if is_descending else by  # type: ignore[assignment] # one of the values of the parser
    with connect() as client:
        folder = remote.get_file(client, options.path) if is_prefixed(options.path) else None
        above = (folder.path if folder else options.path).rstrip("/") + "/"
        try:
            with remote.naming(options.path):
                for file in client.files.list(folder or options.path, order=order, recursive=options.recursive):
                    _print_file(file, file.path.removeprefix(above) if options.recursive else file.name, options)
        except ApiError as problem:
            if problem.code != "not-a-folder":
                raise
            file = folder or client.files.get(options.path)
            _print_file(file, file.name, options)


def recent(options: Namespace) -> None:
    """List the caller's own files of all folders, last changed first."""
    with connect() as client:
        for file in islice(client.files.list_recent(page_items=min(options.limit, _MAX_PER_PAGE)), options.limit):
            _print_file(file, file.path, options)


def search(options: Namespace) -> None:
    """Find files and folders by words of their names."""
    if not (options.words or options.type or options.kind):
        raise Usage("nothing to search for: give words, --type or --kind")
    with connect() as client:
        is_below = options.folder and is_prefixed(options.folder)
        hits = client.files.search(
            " ".join(options.words) or None,
            folder=remote.get_file(client, options.folder) if is_below else options.folder,
            kind=options.kind,
            content_type=options.type,
            page_items=min(options.limit, _HITS_PER_PAGE),
        )
        with remote.naming(options.folder) if options.folder else nullcontext():
            for file in islice(hits, options.limit):
                _print_file(file, remote.format_path(file), options)


def _print_file(file: File, name: str, options: Namespace) -> None:
    if options.format is Format.JSON:
        output.print_json(file)
        return
    name = f"{name}/" if file.kind == "folder" and name != "/" else name
    if options.long:
        kind = "d" if file.kind == "folder" else "-"
        size = output.format_size_column(file.size_bytes)
        when = output.format_time(file.client_modified_at or file.modified_at)
        state = output.format_state_column(file.content_status, file.processing)
        name = f"{kind} {size}  {when}  {state}  {file.owner}  {name}"
    output.print_text(name)


def versions(options: Namespace) -> None:
    """List the versions of a file, newest first; or pin one, or unpin it."""
    with connect() as client:
        file = remote.get_file(client, options.path)
        if options.pin:
            revisions = iter([client.revisions.pin(file, remote.get_revision(client, file, options.pin).id)])
        elif options.unpin:
            revisions = iter([client.revisions.unpin(file, remote.get_revision(client, file, options.unpin).id)])
        else:
            revisions = client.revisions.list(file)
        output.print_results(revisions, _describe_revision, options.format)


def _describe_revision(revision: Revision) -> str:
    mark = "*" if revision.is_head else " "
    when = output.format_time(revision.created_at)
    size = output.format_size_column(revision.size_bytes)
    state = output.format_state_column(revision.content_status, revision.processing)
    pinned = "  pinned" if revision.pinned else ""
    return f"{revision.number:>4}{mark} {when}  {size}  {state}  {revision.author}  {revision.id}{pinned}"


# Changing


def mkdir(options: Namespace) -> int:
    """Create folders."""
    create = remote.create_folders if options.parents else remote.create_folder
    with connect() as client:

        def make(path: str) -> None:
            folder = create(client, path)
            if options.format is Format.JSON:
                output.print_json(folder)

        return for_each(options.paths, make)


@dataclass(frozen=True, slots=True)
class _Target:
    """The folder into which `mv` and `cp` put a file, and its new name if it gets one."""

    folder: File
    name: str | None = None

    def holds(self, file: File, on_conflict: OnConflict) -> bool:
        """Return whether a file is already at this target."""
        name = normalize("NFC", self.name or file.name)
        return file.parent_id == self.folder.id and (on_conflict == "rename" or name == file.name)


def mv(options: Namespace) -> int:
    """Rename or move files and folders."""

    def move(source: File, target: _Target) -> Operation:
        return MoveOperation(
            source.id,
            parent_id=target.folder.id,
            name=target.name,
            on_conflict=options.on_conflict,
            if_match=source.etag,
        )

    return _place(options, move, "precondition-failed", _move_again)


def cp(options: Namespace) -> int:
    """Copy files and folders."""

    def copy(source: File, target: _Target) -> Operation:
        folder_id = target.folder.id
        return CopyOperation(source.id, parent_id=folder_id, name=target.name, on_conflict=options.on_conflict)

    def copy_across(client: Client, source: File, target: _Target, on_conflict: OnConflict) -> File:
        copy = client.files.start_copy(source, folder=target.folder.id, name=target.name, on_conflict=on_conflict)
        pause_s = 0.1
        while copy.state == "running":
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _MAX_PAUSE_S)
            copy = client.files.get_copy(copy.id)
        if copy.problem:
            raise copy.problem
        if copy.copied_id is None:
            raise TransferFailed(f"the copy was {copy.state}")
        if copy.left_out:
            output.print_note(f"{copy.left_out} files with quarantined or damaged content were left out")
        return client.files.get(copy.copied_id)

    return _place(options, copy, "cross-owner", copy_across)


def _place(
    options: Namespace,
    build: Callable[[File, _Target], Operation],
    refusal: str,
    repeat: Callable[[Client, File, _Target, OnConflict], File],
) -> int:
    """Move or copy all sources by batches. `repeat` handles each one that the batch refuses with the code `refusal`."""
    with connect() as client:
        dest = remote.find_file(client, options.dest)
        if len(options.sources) > 1 and (dest is None or dest.kind != "folder"):
            raise Usage(f"{options.dest} is not a folder: several sources need a folder as DEST")
        found: dict[str, tuple[File, _Target]] = {}

        def find(path: str) -> None:
            source = remote.get_file(client, path)
            if dest and dest.kind == "folder" and dest.id != source.id:
                target = _Target(dest)
            else:  # also for a change of case only, where DEST finds the source itself
                above, name = remote.split_name(options.dest)
                target = _Target(remote.get_file(client, above), name)
            found[path] = source, target

        missing = for_each(options.sources, find)
        results = _run_batch(client, {path: build(*placed) for path, placed in found.items()})

        def show(path: str) -> None:
            source, target = found[path]
            result = results[path]
            file = result.file
            if result.problem and result.problem.code == refusal:
                file = repeat(client, source, target, options.on_conflict)
            elif result.problem:
                raise result.problem
            if file:
                output.print_placed(remote.format_path(source), file, options.format)

        return missing + for_each(found, show)


def _run_batch(client: Client, operations: Mapping[str, Operation]) -> Mapping[str, BatchResult]:
    """Run the operation of each path; return the results by path."""
    results = client.files.batch(list(operations.values())) if operations else []
    return dict(zip(operations, results, strict=True))


def _move_again(client: Client, source: File, target: _Target, on_conflict: OnConflict) -> File:
    """Move a file that changed since it was looked up, unless it is at another path now."""
    current = client.files.get(source.id)
    if current.path != source.path and target.holds(current, on_conflict):
        return current
    etag = current.etag if current.path == source.path else source.etag
    return client.files.move(source.id, name=target.name, folder=target.folder, on_conflict=on_conflict, if_match=etag)


def rm(options: Namespace) -> int:
    """Move files and folders to the trash."""
    with connect() as client:
        found: dict[str, File] = {}

        def find(path: str) -> None:
            found[path] = remote.get_file(client, path)

        failed = for_each(options.paths, find)
        results = _run_batch(
            client,
            {path: TrashOperation(file.id, if_match=file.etag, force=options.force) for path, file in found.items()},
        )

        def check(path: str) -> None:
            problem = results[path].problem
            if problem and problem.code == "precondition-failed":  # it changed since it was looked up
                file = remote.get_file(client, path)
                client.files.move_to_trash(file.id, force=options.force, if_match=file.etag)
            elif problem and problem.code != "not-found":  # not found: already gone, as wanted
                raise problem

        changed = for_each(found, check)
    trashed = len(found) - changed
    if trashed:
        output.print_note(f"{trashed} moved to the trash; to restore: `dbx restore PATH`")
    return failed + changed
