"""Generated from `resources/revisions.py` by `make sdk`: edit that module."""

from collections.abc import AsyncIterator

from dropbox_client.async_resources.resource import Resource
from dropbox_client.calls import revisions
from dropbox_client.models.files import File, FileRef, Revision


class Revisions(Resource):
    """The revisions of a file."""

    def list(self, file: FileRef) -> AsyncIterator[Revision]:
        """Iterate over the revisions of a file, newest first. Raises NotFound, NotAFile."""
        return self._pages_of(file, revisions.list_of)

    async def pin(self, file: FileRef, revision_id: str) -> Revision:
        """Keep a revision as long as the file, whatever its age. Raises NotFound, NotAFile, Forbidden."""
        return await self._run(revisions.pin(await self._resolve(file), revision_id, pinned=True))

    async def unpin(self, file: FileRef, revision_id: str) -> Revision:
        """Let the server remove a pinned revision once it is old. Raises NotFound, NotAFile, Forbidden."""
        return await self._run(revisions.pin(await self._resolve(file), revision_id, pinned=False))

    async def restore(self, file: FileRef, revision_id: str) -> File:
        """Add a new head revision with the content of an older one. Raises NotFound, NotAFile."""
        return await self._run(revisions.restore(await self._resolve(file), revision_id))
