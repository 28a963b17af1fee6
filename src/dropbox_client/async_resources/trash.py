"""Generated from `resources/trash.py` by `make sdk`: edit that module."""

from collections.abc import AsyncIterator

from dropbox_client.async_resources.resource import Resource, path_or_id
from dropbox_client.calls import trash
from dropbox_client.models.files import File


class Trash(Resource):
    """The trash: a file in it is named by a `File` or its id."""

    def list(self) -> AsyncIterator[File]:
        """Iterate over the trash, last deleted first."""
        return self._pages(trash.list_all())

    async def restore(self, file: File | str, *, parent_path: str | None = None) -> File:
        """Restore to the old folder or to `parent_path`; a taken name gets a number.

        Raises: NotFound (the trashed file, or the folder), ParentGone, NotAFolder.
        """
        return await self._run(trash.restore(path_or_id(file), parent_path))

    async def purge(self, file: File | str) -> None:
        """Delete a file or folder in the trash permanently. Raises NotFound."""
        return await self._run(trash.purge(path_or_id(file)))

    async def empty(self) -> None:
        """Delete the contents of the trash permanently."""
        return await self._run(trash.empty())
