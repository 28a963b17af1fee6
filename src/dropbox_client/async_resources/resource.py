"""Generated from `resources/resource.py` by `make sdk`: edit that module."""

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, TypeVar

from dropbox_client.call import Call, Listing
from dropbox_client.calls import files
from dropbox_client.exchange import block
from dropbox_client.models.files import File, FileRef

if TYPE_CHECKING:
    from dropbox_client.async_resources import Resources

T = TypeVar("T")


class Resource:
    """A group of operations of one client."""

    def __init__(self, client: "Resources") -> None:
        self._client = client

    async def _run(self, call: Call[T]) -> T:
        return await self._client.drive(self._client.exchange.send(call))

    async def _block(self, function: Callable[[], T]) -> T:
        """Call a function that may wait for files or pipes."""
        return await self._client.drive(block(function))

    async def _pages(self, listing: Listing[T]) -> AsyncIterator[T]:
        cursor: str | None = None
        while True:
            page = await self._run(listing.page(cursor))
            for item in page.items:
                yield item
            cursor = page.next_cursor
            if cursor is None:
                return

    async def _pages_of(self, file: FileRef, list_of: Callable[[str], Listing[T]]) -> AsyncIterator[T]:
        async for item in self._pages(list_of(await self._resolve(file))):
            yield item

    async def _resolve(self, file: FileRef) -> str:
        """Return the id of a file or folder; a path needs a request. Raises NotFound."""
        if isinstance(file, File):
            return file.id
        if not file.startswith("/"):
            return file
        found = await self._run(files.get_by_path(file))
        return found.id


def path_or_id(file: FileRef) -> str:
    """Return what the server accepts itself: a path, or an id."""
    return file.id if isinstance(file, File) else file
