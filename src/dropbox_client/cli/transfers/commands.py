"""Sending and fetching files, and the uploads that are under way."""

import os
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

from dropbox_client.api import Client
from dropbox_client.cli import output, remote
from dropbox_client.cli.environment import connect, for_each
from dropbox_client.errors import ApiProblem, Usage
from dropbox_client.models import File
from dropbox_client.retry import PATIENCE_S
from dropbox_client.transfer.progress import Item
from dropbox_client.transfer.walk import Skipped, Walk, split_destination


def upload(options: Namespace) -> int:
    """Send files and folders."""
    paths, folder = split_destination(options.paths, options.to)
    top, below = remote.split(folder)
    walk = Walk(paths, below or "/", options.on_conflict)
    return _send(walk, top, json=options.json, retry_changed=options.retry_changed)


def _send(items: Walk | Sequence[Item], top: str = "", *, json: bool, retry_changed: bool = False) -> int:
    """Upload `items` and tell of each; return how many could not be stored.

    A walk goes into one's own tree, or below `top`, a folder that others share.
    """
    from dropbox_client.cli.progress_bars import Display  # noqa: PLC0415
    from dropbox_client.places import cache_dir  # noqa: PLC0415
    from dropbox_client.transfer.hash_cache import HashCache  # noqa: PLC0415
    from dropbox_client.transfer.upload import Uploader  # noqa: PLC0415

    began = time.monotonic()
    files = size_bytes = sent_bytes = failed = 0
    with connect() as client, HashCache(cache_dir() / "hashes.sqlite") as cache:
        client.capabilities()  # whoever is not signed in, or has no server, learns it at once
        client.patience_s = PATIENCE_S
        make_folder: Callable[[str], object] = partial(client.create_folder, parents=True)
        going: Iterable[Item] = items
        if top and isinstance(items, Walk):
            folders = remote.Folders(client, remote.find(client, top).id)
            make_folder, going = folders.id_of, _into(folders, items)
        with (
            Display(wanted=not json) as display,
            Uploader(client, watcher=display, cache=cache, retry_changed=retry_changed) as uploader,
        ):
            for outcome in uploader.upload(going):
                output.sent(outcome, json=json)
                failed += outcome.error is not None
                if outcome.file:
                    files += 1
                    size_bytes += outcome.file.size_bytes or 0
                    sent_bytes += outcome.sent_bytes
        skipped = []
        if isinstance(items, Walk):
            skipped = items.skipped
            failed += for_each(items.empty_folders, make_folder)
    output.skipped(skipped, json=json)
    failed += sum(item.failed for item in skipped)
    seconds = time.monotonic() - began
    output.summary(files=files, size_bytes=size_bytes, sent_bytes=sent_bytes, seconds=seconds, failed=failed)
    return failed


def _into(folders: remote.Folders, walk: Walk) -> Iterator[Item]:
    """Iterate over a walk, the folders of the items found by id, or made."""
    for item in walk:
        try:
            parent_id = folders.id_of(item.folder)
        except ApiProblem as problem:
            walk.skipped.append(Skipped(item.path, output.explain(problem), failed=True))
        else:
            yield replace(item, parent_id=parent_id)


def download(options: Namespace) -> int:
    """Fetch a file or folder. Nothing appears under its name before every byte was verified."""
    with connect() as client:
        file = remote.find(client, options.remote)
        client.patience_s = PATIENCE_S
        if file.kind == "folder":
            if options.version:
                raise Usage(f"{options.remote} is a folder: only files have versions")
            return _download_folder(client, file, options)
        _download_file(client, _as_it_was(client, file, options.version), options)
        return 0


def _as_it_was(client: Client, file: File, version: str | None) -> File:
    """Return the file with the content of one of its versions; as it is when none is named."""
    if not version:
        return file
    from dropbox_client.cli.trash.commands import find_revision  # noqa: PLC0415

    revision = find_revision(client, file, version)
    return replace(
        file,
        revision_id=revision.id,
        size_bytes=revision.size_bytes,
        fingerprint=revision.fingerprint,
        content_type=revision.content_type,
        content_status=revision.content_status,
        client_modified_at=revision.client_modified_at,
        processing=revision.processing,
    )


def _download_file(client: Client, file: File, options: Namespace) -> None:
    from dropbox_client.cli.progress_bars import Display  # noqa: PLC0415
    from dropbox_client.transfer import download as fetch  # noqa: PLC0415

    local = Path(options.local)
    if options.local.endswith(("/", os.sep)):  # the name of a folder, there or not
        local.mkdir(parents=True, exist_ok=True)
    target = fetch.child(local, file.name) if local.is_dir() else local
    there = fetch.is_same(file, target)
    if not there:
        with Display(wanted=not options.json) as display:
            display.expect(file.size_bytes or 0)
            fetch.download(client, file, target, overwrite=options.overwrite, moved=display.fetched)
    output.fetched(file, target, json=options.json, there=there)


def _download_folder(client: Client, folder: File, options: Namespace) -> int:
    from dropbox_client.cli.progress_bars import Display  # noqa: PLC0415
    from dropbox_client.transfer.download_folder import download_folder  # noqa: PLC0415

    began = time.monotonic()
    files = size_bytes = there_bytes = failed = 0
    with Display(wanted=not options.json) as display:
        for fetched in download_folder(
            client,
            folder,
            Path(options.local),
            overwrite=options.overwrite,
            found=lambda file: display.expect(file.size_bytes or 0),
            moved=display.fetched,
        ):
            file = fetched.file
            if fetched.error:
                output.not_fetched(file, fetched.error, json=options.json)
                failed += 1
            elif file.kind == "file":
                output.fetched(file, fetched.target, json=options.json, there=fetched.there)
                files += 1
                size_bytes += file.size_bytes or 0
                there_bytes += (file.size_bytes or 0) * fetched.there
    seconds = time.monotonic() - began
    moved_bytes = size_bytes - there_bytes
    output.summary(files=files, size_bytes=size_bytes, sent_bytes=moved_bytes, seconds=seconds, failed=failed)
    return failed


def cat(options: Namespace) -> int:
    """Write files to stdout, verified."""
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

    from dropbox_client.transfer.ranges import PARALLEL, stream  # noqa: PLC0415

    if options.version and len(options.paths) > 1:
        raise Usage("--version goes with one file")
    with connect() as client, ThreadPoolExecutor(PARALLEL, thread_name_prefix="fetch") as pool:

        def write(path: str) -> None:
            file = _as_it_was(client, remote.find(client, path), options.version)
            with closing(stream(client, file, pool)) as pieces:
                for piece in pieces:
                    sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()

        return for_each(options.paths, write)


# Uploads under way


def list_uploads(options: Namespace) -> None:
    """Show what is under way: progress, until when it is kept, name."""
    with connect() as client:
        for session in client.list_uploads():
            if options.all or session.state in {"creating", "active", "completing"}:
                output.session(session, json=options.json)


def resume(options: Namespace) -> int:
    """Go on with an upload, to the place where it was meant to go."""
    path = Path(options.path)
    size_bytes = path.stat().st_size
    with connect() as client:
        session = client.upload(options.id)
        if size_bytes != session.size_bytes:
            raise Usage(f"{path} has {size_bytes} bytes, the upload {session.size_bytes}")
        place = session.destinations[0]
    return _send([Item(path, "", place.name, size_bytes, place.on_conflict, place.parent_id)], json=options.json)


def abort(options: Namespace) -> None:
    """Give up an upload and free what it holds."""
    with connect() as client:
        client.abort_upload(options.id)
