"""The revisions of a file."""

from collections.abc import Iterator

from dropbox_client.calls import revisions
from dropbox_client.models.files import File, FileRef, Revision
from dropbox_client.resources.resource import Resource


class Revisions(Resource):
    """The revisions of a file."""

    def list(self, file: FileRef) -> Iterator[Revision]:
        """Iterate over the revisions of a file, newest first. Raises NotFound, NotAFile."""
        return self._pages_of(file, revisions.list_of)

    def pin(self, file: FileRef, revision_id: str) -> Revision:
        """Keep a revision as long as the file, whatever its age. Raises NotFound, NotAFile, Forbidden."""
        return self._run(revisions.pin(self._resolve(file), revision_id, pinned=True))

    def unpin(self, file: FileRef, revision_id: str) -> Revision:
        """Let the server remove a pinned revision once it is old. Raises NotFound, NotAFile, Forbidden."""
        return self._run(revisions.pin(self._resolve(file), revision_id, pinned=False))

    def restore(self, file: FileRef, revision_id: str) -> File:
        """Add a new head revision with the content of an older one. Raises NotFound, NotAFile."""
        return self._run(revisions.restore(self._resolve(file), revision_id))
