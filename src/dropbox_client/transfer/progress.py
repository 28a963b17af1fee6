"""The items, results and progress events of an upload."""

from dataclasses import dataclass
from pathlib import Path

from dropbox_client.errors import ClientError
from dropbox_client.models import File, OnConflict


@dataclass(frozen=True, slots=True)
class UploadItem:
    """A local file and its destination: `name` in the remote folder `folder` ("/" or "/a/b"), created if missing.

    `parent_id` names the remote folder by its id instead.
    """

    path: Path
    folder: str
    name: str
    size_bytes: int
    """The size when the file was found; the transfer uses the size when it is opened."""
    on_conflict: OnConflict = "replace"
    parent_id: str | None = None


@dataclass(frozen=True, slots=True)
class UploadResult:
    """The result of an item: a `file`, or an `error`."""

    item: UploadItem
    file: File | None = None
    error: ClientError | None = None
    sent_bytes: int = 0
    """Bytes stored by this run; less than the size of the file if the store already had some."""


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
