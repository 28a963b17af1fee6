"""upload, download, cat, uploads. The transfer engines are imported when a command needs them."""

import os
import sys
from argparse import ArgumentTypeError, Namespace
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dropbox_client.cli import output, remote
from dropbox_client.cli.arguments import ID, Format, is_prefixed, remote_path
from dropbox_client.cli.environment import cache_directory, connect, for_each
from dropbox_client.cli.transfers import link_sender, report
from dropbox_client.client import Client
from dropbox_client.errors import ApiError, Usage
from dropbox_client.models import File
from dropbox_client.retry import TRANSFER_RETRY_FOR_S
from dropbox_client.transfer.progress import UploadItem, UploadResult
from dropbox_client.transfer.walk import Skipped, Walk

if TYPE_CHECKING:
    from dropbox_client.transfer.compress import CompressMode
    from dropbox_client.transfer.upload import Uploader

_STDIN = "-"
_LIVE_STATES = frozenset({"creating", "active", "completing"})


# Upload


class AmbiguousDestination(Usage):
    """The destination of an upload is ambiguous; the text says how to resolve that."""


def upload(options: Namespace) -> int:
    """Upload files and folders."""
    *before, last = options.paths
    if link := link_sender.find_link(options.to or last):
        sources = options.paths if options.to else before
        _check_stdin(sources, options.name)
        return link_sender.send_files(link, sources, options)
    if options.password_stdin:
        raise Usage("--password-stdin is for the password of an upload link: its address is the last argument")
    paths, folder = split_destination(options.paths, options.to)
    _check_stdin(paths, options.name)
    prefix, below = remote.split_prefix(folder)
    walk = Walk(paths, below or "/", options.on_conflict)
    totals = report.Totals()
    with connect(options.format) as client:
        client.uploads.get_capabilities()  # fails immediately without a sign-in or a server
        client.retry_for_s = TRANSFER_RETRY_FOR_S
        top = remote.get_file(client, prefix) if prefix else None
        if top and top.kind == "file" and not below:
            return _upload_to_file(client, paths, top, totals, options.format)
        if options.name:
            parent_id = remote.FolderIds(client, top.id).get_or_create(below) if top else None
            item = UploadItem(Path(_STDIN), below or "/", options.name, 0, options.on_conflict, parent_id)
            return _upload_stdin(client, item, totals, options.format)
        items: Iterable[UploadItem] = walk
        create_folder: Callable[[str], object] = client.files.create_folders
        if top:
            folders = remote.FolderIds(client, top.id)
            items, create_folder = _set_parent_ids(walk, folders), folders.get_or_create
        _upload_items(
            client,
            items,
            totals,
            options.format,
            retry_changed=options.retry_changed,
            compress=options.compress,
        )
        totals.failed += for_each(walk.empty_folders, create_folder)
    report.print_skipped(walk.skipped, options.format)
    report.print_litter(walk.litter, options.format, is_verbose=options.verbose)
    totals.failed += sum(item.failed for item in walk.skipped)
    totals.print_summary()
    return totals.failed


def _upload_to_file(
    client: Client, paths: Sequence[str], file: File, totals: report.Totals, output_format: Format
) -> int:
    """Upload the one local file, or stdin, as the new content of a file."""
    if len(paths) > 1 or Path(paths[0]).is_dir():
        raise Usage(f"{ID}{file.id} is a file: it takes the content of exactly one file")
    path = Path(paths[0])
    item = UploadItem(path, "", path.name, 0, "replace", None, file.revision_id, file.id)
    if paths[0] == _STDIN:
        return _upload_stdin(client, item, totals, output_format)
    _upload_items(client, [replace(item, size_bytes=path.stat().st_size)], totals, output_format)
    totals.print_summary()
    return totals.failed


def _check_stdin(paths: Sequence[str], name: str | None) -> None:
    if _STDIN not in paths:
        if name:
            raise Usage(f"--name is for the content of stdin: give {_STDIN} as PATH")
    elif len(paths) > 1:
        raise Usage(f"{_STDIN} is stdin and must be the only PATH; write ./{_STDIN} for a file of this name")
    elif not name:
        raise Usage(f"{_STDIN} is stdin and needs a --name; write ./{_STDIN} for a file of this name")
    elif sys.__stdin__ is None:
        raise Usage("stdin is closed")


def _upload_stdin(client: Client, item: UploadItem, totals: report.Totals, output_format: Format) -> int:
    from dropbox_client.transfer.content import open_source  # noqa: PLC0415

    with open_source(sys.stdin.buffer) as source:
        item = replace(item, size_bytes=source.size_bytes)
        _upload(client, lambda uploader: uploader.upload_stream(item, source), totals, output_format)
    totals.print_summary()
    return totals.failed


def split_destination(arguments: Sequence[str], to: str | None) -> tuple[list[str], str]:
    """Return the local paths and the remote folder of `upload PATH... [DEST]`.

    With `to` every argument is a local path. Otherwise the last of several arguments is the destination if it begins
    with "/", shared: or id: and does not exist on this computer. The default destination is the root folder.
    Raises: AmbiguousDestination if it exists on this computer; "/" is the root folder all the same.
    """
    if to is not None:
        return list(arguments), _parse_destination(to)
    *paths, last = arguments
    if not paths or not (last.startswith("/") or is_prefixed(last)):
        return list(arguments), "/"
    if last != "/" and os.path.lexists(last):
        raise AmbiguousDestination(
            f"{last} also exists on this computer: use --to {last} for the remote folder, or --to / to upload it"
        )
    return paths, _parse_destination(last)


def _parse_destination(folder: str) -> str:
    if not folder.startswith("/") and not is_prefixed(folder):
        raise AmbiguousDestination(f"{folder!r} is not a remote folder: it must begin with /, shared: or id:")
    try:
        return remote_path(folder)
    except ArgumentTypeError as error:
        raise Usage(str(error)) from None


def _set_parent_ids(walk: Walk, folders: remote.FolderIds) -> Iterator[UploadItem]:
    """Iterate over a walk, with the id of each item's folder, which is created if missing."""
    for item in walk:
        try:
            parent_id = folders.get_or_create(item.folder)
        except ApiError as problem:
            walk.skipped.append(Skipped(item.path, output.describe_error(problem), failed=True))
        else:
            yield replace(item, parent_id=parent_id)


def _upload_items(
    client: Client,
    items: Iterable[UploadItem],
    totals: report.Totals,
    output_format: Format,
    *,
    retry_changed: bool = False,
    compress: "CompressMode" = "never",
) -> None:
    """Upload items, print their results and add them to `totals`."""
    _upload(
        client,
        lambda uploader: uploader.upload(items),
        totals,
        output_format,
        retry_changed=retry_changed,
        compress=compress,
    )


def _upload(
    client: Client,
    run: "Callable[[Uploader], Iterator[UploadResult]]",
    totals: report.Totals,
    output_format: Format,
    *,
    retry_changed: bool = False,
    compress: "CompressMode" = "never",
) -> None:
    from dropbox_client.cli.progress_bars import open_progress_bars  # noqa: PLC0415
    from dropbox_client.transfer.hash_cache import HashCache  # noqa: PLC0415
    from dropbox_client.transfer.upload import Uploader  # noqa: PLC0415

    with (
        HashCache(cache_directory() / "hashes.sqlite") as cache,
        open_progress_bars(output_format, client.exchange.waits) as bars,
        Uploader(client, listener=bars, cache=cache, retry_changed=retry_changed, compress=compress) as uploader,
    ):
        for result in run(uploader):
            report.print_upload(result, output_format)
            totals.failed += result.error is not None
            if result.file:
                size_bytes = result.file.size_bytes or 0
                totals.add_file(size_bytes, result.sent_bytes, result.reused_bytes, result.saved_bytes)


# Download


def download(options: Namespace) -> int:
    """Download a file or folder, verified."""
    with connect(options.format) as client:
        file = remote.get_file(client, options.remote)
        client.retry_for_s = TRANSFER_RETRY_FOR_S
        if file.kind == "folder":
            if options.version:
                raise Usage(f"{options.remote} is a folder: only files have versions")
            return _download_folder(client, file, options)
        _download_file(client, _select_version(client, file, options.version), options)
        return 0


def _select_version(client: Client, file: File, version: str | None) -> File:
    """Return the file with the content of a version, or unchanged for None."""
    if not version:
        return file
    revision = remote.get_revision(client, file, version)
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
    from dropbox_client.cli.progress_bars import open_progress_bars  # noqa: PLC0415
    from dropbox_client.transfer import download as engine  # noqa: PLC0415
    from dropbox_client.transfer.partial_file import StalePartialFiles  # noqa: PLC0415

    local = Path(options.local)
    if options.local.endswith(("/", os.sep)):  # a folder, existing or not
        local.mkdir(parents=True, exist_ok=True)
    target = engine.join_name(local, file.name) if local.is_dir() else local
    is_unchanged = engine.has_same_content(file, target)
    if not is_unchanged:
        with open_progress_bars(options.format, client.exchange.waits) as bars:
            bars.add_expected(file.size_bytes or 0)
            engine.download(client, file, target, overwrite=options.overwrite, on_bytes=bars.add_bytes)
    StalePartialFiles().delete(target)
    report.print_download(file, target, options.format, is_unchanged=is_unchanged)


def _download_folder(client: Client, folder: File, options: Namespace) -> int:
    from dropbox_client.cli.progress_bars import open_progress_bars  # noqa: PLC0415
    from dropbox_client.transfer.download_folder import download_folder  # noqa: PLC0415

    totals = report.Totals()
    with open_progress_bars(options.format, client.exchange.waits) as bars:
        for result in download_folder(
            client,
            folder,
            Path(options.local),
            overwrite=options.overwrite,
            on_file=lambda file: bars.add_expected(file.size_bytes or 0),
            on_bytes=bars.add_bytes,
        ):
            file, is_unchanged = result.file, result.is_unchanged
            if result.error:
                report.print_failed_download(file, result.error, options.format)
                totals.failed += 1
            elif file.kind == "file":
                report.print_download(file, result.target, options.format, is_unchanged=is_unchanged)
                size_bytes = file.size_bytes or 0
                totals.add_file(size_bytes, 0 if is_unchanged else size_bytes)
    totals.print_summary()
    return totals.failed


def cat(options: Namespace) -> int:
    """Write files to stdout, verified."""
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

    from dropbox_client.transfer.ranges import PARALLEL, stream_content  # noqa: PLC0415

    if options.version and len(options.paths) > 1:
        raise Usage("--version needs exactly one file")
    with connect() as client, ThreadPoolExecutor(PARALLEL, thread_name_prefix="fetch") as pool:

        def write(path: str) -> None:
            file = _select_version(client, remote.get_file(client, path), options.version)
            with closing(stream_content(client, file, pool)) as pieces:
                for piece in pieces:
                    sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()

        return for_each(options.paths, write)


# Upload sessions


def list_uploads(options: Namespace) -> None:
    """List the unfinished uploads, or with --all every one."""
    with connect() as client:
        uploads = (session for session in client.uploads.list() if options.all or session.state in _LIVE_STATES)
        output.print_results(uploads, report.describe_upload, options.format)


def resume_upload(options: Namespace) -> int:
    """Resume an upload to its original destination."""
    path = Path(options.path)
    size_bytes = path.stat().st_size
    totals = report.Totals()
    with connect(options.format) as client:
        session = client.uploads.get(options.id)
        if size_bytes != session.size_bytes:
            raise Usage(f"{path} has {size_bytes} bytes, but the upload has {session.size_bytes}: not the same file")
        destination = session.destinations[0]
        item = UploadItem(
            path,
            "",
            destination.name or path.name,
            size_bytes,
            destination.on_conflict,
            destination.parent_id,
            destination.base_revision_id,
            None if destination.name else destination.file_id,
        )
        client.retry_for_s = TRANSFER_RETRY_FOR_S
        _upload_items(client, [item], totals, options.format)
    totals.print_summary()
    return totals.failed


def abort_upload(options: Namespace) -> None:
    """Abort an upload and free its space."""
    with connect() as client:
        client.uploads.abort(options.id)
