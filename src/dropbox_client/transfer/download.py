"""The download of one file: parallel ranges into a temporary file, verified, then renamed to its final name.

Invariants: the final name refers either to the previous file or to the complete verified one; content that does not
match the fingerprint never gets the final name; an existing file is replaced only on request. Ranges are hashed in
order, right after they arrive, while they are in the page cache. An interrupted download resumes (`partial_file`).
Chunks that the replaced file has already are copied from it instead of fetched (`reuse`).
"""

import contextlib
import hashlib
import os
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

from dropbox_client.client import Client
from dropbox_client.errors import ApiError, ClientError, Corrupt, FileChanged, Unreadable
from dropbox_client.models import DownloadUrl
from dropbox_client.retry import TRANSFER_RETRY_FOR_S
from dropbox_client.transfer.partial_file import PartialFile, allow_execution, require_target, set_modified_at
from dropbox_client.transfer.ranges import PARALLEL, RangeFetcher, Wanted
from dropbox_client.transfer.reuse import Piece, copy_pieces, find_gaps
from dropbox_client.transfer.source import Source, hash_range

_AHEAD = 2 * PARALLEL


class Refused(ClientError):
    """The local file system cannot store this name, or the path would leave the target folder."""


def join_name(folder: Path, name: str) -> Path:
    """Return the path of a server-provided name in a local folder. Raises Refused for a name that leads elsewhere.

    The server allows no such names, but the client does not rely on that.
    """
    if name in {"", ".", ".."} or any(sign in name for sign in ("\0", "/", os.sep, os.altsep or "/")):
        raise Refused(f"a local file cannot have the name {name!r}")
    try:
        os.fsencode(name)
    except UnicodeEncodeError as error:
        raise Refused(f"a local file cannot have the name {name!r}") from error
    return folder / name


def download(
    client: Client,
    file: Wanted,
    target: Path,
    *,
    overwrite: bool = False,
    older: Path | None = None,
    pool: Executor | None = None,
    on_bytes: Callable[[int], None] = lambda _: None,
    retry_for_s: float = TRANSFER_RETRY_FOR_S,
    sign: Callable[[Wanted], DownloadUrl] | None = None,
) -> None:
    """Download the revision of `file` to `target`, whose folder must exist; resume an earlier download of it.

    `older` is a file that may have chunks of it, by default the one that is overwritten.
    `pool` runs the requests (default: a new pool). `on_bytes` gets the number of bytes received, negative if they must
    be fetched again; it is called from many threads. `retry_for_s` is how long a range is retried without progress;
    `sign` as for `RangeFetcher`.

    Raises: LocalExists, Corrupt, TransferFailed, Unreachable, Stopped, ApiError, NotSignedIn; OSError of the local
    file system, such as a full disk.
    """
    require_target(target, overwrite=overwrite)
    older = older or (target if overwrite else None)
    with contextlib.ExitStack() as stack:
        pool = pool or stack.enter_context(ThreadPoolExecutor(PARALLEL, thread_name_prefix="fetch"))
        while True:
            ranges = RangeFetcher(client, file, pool, on_bytes=on_bytes, retry_for_s=retry_for_s, sign=sign)
            # All writers stop before the file is closed.
            with PartialFile(target, ranges.source, ranges.count) as part, ranges:
                pieces = _copy_pieces(client, ranges, part, file, older) if older else []
                if not _fetch_verified(ranges, part, pieces, file, on_bytes):
                    older = None
                    continue
                if overwrite:
                    part.replace_target(target, file.client_modified_at, executable=bool(file.executable))
                else:
                    part.create_target(target, file.client_modified_at, executable=bool(file.executable))
                return


def has_same_content(file: Wanted, target: Path) -> bool:
    """Return whether `target` has exactly the content of `file`."""
    try:
        with Source(target, is_checked=False) as source:
            return source.size_bytes == file.size_bytes and hash_range(source, 0, source.size_bytes) == file.fingerprint
    except (Unreadable, FileChanged):
        return False


def take_attributes(file: Wanted, target: Path) -> None:
    """Give `target`, which has the content of `file`, the modification time of `file` if that is newer.

    It may be run if `file` is executable; it stays so if `file` is not.
    """
    if file.executable:
        allow_execution(target)
    if file.client_modified_at and file.client_modified_at.timestamp() > target.stat().st_mtime:
        set_modified_at(target, file.client_modified_at)


def _copy_pieces(client: Client, ranges: RangeFetcher, part: PartialFile, file: Wanted, older: Path) -> list[Piece]:
    """Copy the chunks that the file at `older` has already into `part`; return them.

    A single range is fetched sooner. Raises: Unreachable, NotSignedIn; OSError of the local file system.
    """
    if ranges.count < 2:
        return []
    try:
        manifest = client.files.get_manifest(file.id, ranges.source.revision_id)
    except ApiError:  # for instance of an older server
        return []
    return copy_pieces(manifest, older, part)


def _fetch_verified(
    ranges: RangeFetcher, part: PartialFile, pieces: list[Piece], file: Wanted, on_bytes: Callable[[int], None]
) -> bool:
    """Fetch what is in neither an earlier download nor `pieces`, and verify the whole content.

    Returns False if the content is damaged and one of these may be the cause: the bytes are deleted.
    Raises: Corrupt, and the exceptions of `RangeFetcher`.
    """
    gaps = find_gaps(ranges.chunks, part, pieces)
    on_bytes(ranges.source.size_bytes - sum(size for _, size in gaps.values()))

    def fetch(number: int) -> None:
        ranges.fetch(*gaps[number], part.write)
        part.mark_range(number)

    digest = hashlib.sha256()
    for number in ranges.iterate(fetch, present=set(range(1, ranges.count + 1)) - gaps.keys(), ahead=_AHEAD):
        part.hash_into(digest, ranges.chunks.offset(number), ranges.chunks.bytes_of(number))
    if digest.hexdigest() == ranges.source.fingerprint:
        return True
    part.is_kept = False
    if not part.present and not pieces:
        raise Corrupt(f"{file.path}: the downloaded content does not match its fingerprint")
    on_bytes(-ranges.source.size_bytes)
    return False
