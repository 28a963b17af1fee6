"""What a transfer tells while it runs. A watcher's methods are called from many threads and must return at once."""

from dataclasses import dataclass
from pathlib import Path

from dropbox_client.errors import ClientError
from dropbox_client.models import File, OnConflict


@dataclass(frozen=True, slots=True)
class Item:
    """A local file and where it goes: `name` in the remote folder `folder` ("/" or "/a/b"), made on the way.

    With `parent_id` it goes into that folder, whatever `folder` is.
    """

    path: Path
    folder: str
    name: str
    size_bytes: int
    """When it was found; what counts is what is read."""
    on_conflict: OnConflict = "replace"
    parent_id: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an item: a `file`, or an `error`."""

    item: Item
    file: File | None = None
    error: ClientError | None = None
    sent_bytes: int = 0
    """Bytes that the store took in this run; less than the file's size when some were there already."""


class Watcher:
    """Ignores everything: override what you want to know."""

    def found(self, item: Item) -> None:
        """A file is going to be sent."""

    def hashed(self, item: Item, size_bytes: int) -> None:
        """So many bytes were hashed before sending can begin."""

    def moved(self, item: Item, size_bytes: int) -> None:
        """So many bytes are on the other side, or (negative) have to be sent again after all."""

    def ended(self, outcome: Outcome) -> None:
        """Nothing more will be heard of this item."""
