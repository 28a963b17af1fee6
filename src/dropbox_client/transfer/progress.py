"""The items, results and progress events of an upload."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias

from dropbox_client.errors import ClientError, Stopped
from dropbox_client.models import File, OnConflict

OnProgress: TypeAlias = Callable[[int, int], object]
"""Called with the bytes done and the total; the bytes done decrease if some must be sent again."""


@dataclass(frozen=True, slots=True)
class UploadItem:
    """A local file and its destination: `name` in the remote folder `folder` ("/" or "/a/b"), created if missing.

    `parent_id` names the remote folder by its id instead. With `file_id` and `base_revision_id` the destination is that
    remote file, and folder and name are those of the local file.
    """

    path: Path
    folder: str
    name: str
    size_bytes: int
    """The size when the file was found; the transfer uses the size when it is opened."""
    on_conflict: OnConflict = "replace"
    parent_id: str | None = None
    base_revision_id: str | None = None
    """With `replace` or `file_id`, the revision that must still be the head."""
    file_id: str | None = None
    executable: bool | None = None


@dataclass(frozen=True, slots=True)
class UploadResult:
    """The result of an item: a `file`, or an `error`."""

    item: UploadItem
    file: File | None = None
    error: ClientError | None = None
    sent_bytes: int = 0
    """Bytes stored by this run; less than the size of the file if the store already had some."""
    reused_bytes: int = 0
    """Bytes that the server took from stored content instead."""
    saved_bytes: int = 0
    """Bytes that were not sent because the others were sent compressed."""


class ProgressListener:
    """Receives the progress of uploads; override the methods of interest.

    Methods are called from many threads and must return quickly.
    """

    def on_item(self, item: UploadItem) -> None:
        """A file is queued for upload."""

    def on_hashed(self, item: UploadItem, size_bytes: int) -> None:
        """`size_bytes` more bytes were hashed before sending."""

    def on_bytes(self, item: UploadItem, size_bytes: int) -> None:
        """`size_bytes` more bytes are sent; negative if they must be sent again."""

    def on_result(self, result: UploadResult) -> None:
        """The item is finished."""


class ProgressReport(ProgressListener):
    """Reports the progress of one transfer to a callback, one call at a time, from many threads.

    A context manager: an exception of the callback ends the transfer, and is raised at the exit of the context.
    """

    def __init__(self, on_progress: OnProgress | None, total_bytes: int) -> None:
        self._on_progress = on_progress
        self._total_bytes = total_bytes
        self._done_bytes = 0
        self._lock = threading.Lock()
        self._failure: Exception | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._failure and isinstance(error, Stopped):
            raise self._failure from None

    def on_bytes(self, item: UploadItem, size_bytes: int) -> None:  # noqa: ARG002 - there is one item
        self.add(size_bytes)

    def add(self, size_bytes: int) -> None:
        """Count bytes; negative if they must be transferred again. Raises Stopped after a failure of the callback."""
        if self._on_progress is None or not size_bytes:
            return
        with self._lock:
            if self._failure:
                return  # the transfer is ending
            self._done_bytes += size_bytes
            try:
                self._on_progress(self._done_bytes, self._total_bytes)
            except Exception as error:
                self._failure = error  # raised as Stopped: the engines must not take it for a failure of the network
                raise Stopped("the progress callback failed") from error
