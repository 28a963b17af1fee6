"""The content of an upload: a path, bytes, or a file object, as a source that can be read more than once."""

import io
import os
import select
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, TypeAlias

from dropbox_client.errors import Unreadable
from dropbox_client.models import OnConflict
from dropbox_client.transfer.chunks import MIB
from dropbox_client.transfer.progress import UploadItem
from dropbox_client.transfer.source import BytesSource, DescriptorSource, Source, SpooledSource

_POLL_MS = 200

Content: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes]
"""A path, bytes, or a file object that is read from its position to its end."""


def open_source(content: Content, check: Callable[[], None] = lambda: None) -> Source:
    """Open content for repeated reading.

    A stream without random access, such as a pipe, is copied to a temporary file; `check` is called for each block, and
    several times a second while a pipe is silent, and may raise. Raises: Unreadable, TypeError for a file in text mode.
    """
    if isinstance(content, bytes | bytearray | memoryview):
        return BytesSource(bytes(content))
    if isinstance(content, str | os.PathLike):
        return Source(Path(content))
    if isinstance(content, io.BytesIO):
        return BytesSource(content.read())
    if not hasattr(content, "read"):
        raise TypeError(f"content is a path, bytes or a binary file object, not {type(content).__name__}")
    if _is_plain_file(content):
        return DescriptorSource(os.dup(content.fileno()))
    return _spool(content, check)


def make_item(
    content: Content,
    to: str | None,
    parent_id: str | None,
    on_conflict: OnConflict,
    file_id: str | None,
    base_revision_id: str | None,
) -> UploadItem:
    """Return the destination of content. Raises ValueError for an incomplete one."""
    path = Path(content) if isinstance(content, str | os.PathLike) else Path()
    if file_id is not None:
        if to is not None or parent_id is not None:
            raise ValueError("`file_id` goes with neither `to` nor `folder`")
        if base_revision_id is None:
            raise ValueError("`file_id` needs `base_revision_id`")
        return UploadItem(path, "", path.name, 0, "replace", None, base_revision_id, file_id)
    if to is None:
        raise ValueError("`to` or `file_id` is required")
    if base_revision_id is not None and on_conflict != "replace":
        raise ValueError("`base_revision_id` needs on_conflict='replace'")
    folder, slash, name = to.rpartition("/")
    if bool(slash) == bool(parent_id):
        raise ValueError("`to` must be a path that starts with a slash, or with `folder` a name without slashes")
    if parent_id is None and not to.startswith("/"):
        raise ValueError("`to` must start with a slash")
    name = name or path.name
    if not name:
        raise ValueError("content without a path needs a name: end `to` with it")
    return UploadItem(path, folder or "/", name, 0, on_conflict, parent_id, base_revision_id)


def _is_plain_file(content: IO[bytes]) -> bool:
    """Return whether a file object shows exactly the bytes of a regular file on disk, from their start."""
    raw = content.raw if isinstance(content, io.BufferedReader) else content
    if type(raw) is not io.FileIO:  # for instance gzip.GzipFile, whose descriptor has other bytes
        return False
    status = os.fstat(content.fileno())
    if not stat.S_ISREG(status.st_mode) or content.tell() != 0:
        return False
    return status.st_size > 0 or not os.pread(content.fileno(), 1, 0)  # files of /proc have content and a size of 0


def _spool(content: IO[bytes], check: Callable[[], None]) -> Source:
    with tempfile.TemporaryFile() as copy:
        while True:
            check()
            try:
                if (block := _read_available(content)) is None:
                    continue
            except OSError as error:
                raise Unreadable(f"the stream cannot be read: {error.strerror or error}") from error
            if not block:
                break
            if not isinstance(block, bytes):
                raise TypeError("open the file in binary mode")
            copy.write(block)
        copy.flush()
        return SpooledSource(os.dup(copy.fileno()))


def _read_available(content: IO[bytes]) -> bytes | None:
    """Return the next bytes, b"" at the end; None if a pipe, socket or terminal has none yet."""
    raw = content.raw if isinstance(content, io.BufferedReader) else content
    if type(raw) is not io.FileIO:
        return content.read(MIB)
    waiting = select.poll()
    waiting.register(raw, select.POLLIN)
    if not waiting.poll(_POLL_MS):
        return None
    return content.read1(MIB) if isinstance(content, io.BufferedReader) else content.read(MIB)
