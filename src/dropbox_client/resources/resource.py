"""What all resources share."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

from dropbox_client.call import Call, Listing
from dropbox_client.calls import files
from dropbox_client.exchange import block
from dropbox_client.models.files import File, FileRef

if TYPE_CHECKING:
    from dropbox_client.resources import Resources

T = TypeVar("T")


class Resource:
    """A group of operations of one client."""

    def __init__(self, client: "Resources") -> None:
        self._client = client

    def _run(self, call: Call[T]) -> T:
        return self._client.drive(self._client.exchange.send(call))

    def _block(self, function: Callable[[], T]) -> T:
        """Call a function that may wait for files or pipes."""
        return self._client.drive(block(function))

    def _pages(self, listing: Listing[T]) -> Iterator[T]:
        cursor: str | None = None
        while True:
            page = self._run(listing.page(cursor))
            for item in page.items:  # noqa: UP028 - as in the asynchronous form
                yield item
            cursor = page.next_cursor
            if cursor is None:
                return

    def _pages_of(self, file: FileRef, list_of: Callable[[str], Listing[T]]) -> Iterator[T]:
        for item in self._pages(list_of(self._resolve(file))):  # noqa: UP028
            yield item

    def _resolve(self, file: FileRef) -> str:
        """Return the id of a file or folder; a path needs a request. Raises NotFound."""
        if isinstance(file, File):
            return file.id
        if not file.startswith("/"):
            return file
        found = self._run(files.get_by_path(file))
        return found.id


def path_or_id(file: FileRef) -> str:
    """Return what the server accepts itself: a path, or an id."""
    return file.id if isinstance(file, File) else file
