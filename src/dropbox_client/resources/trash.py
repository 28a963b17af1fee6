"""The trash."""

from collections.abc import Iterator

from dropbox_client.calls import trash
from dropbox_client.models.files import File
from dropbox_client.resources.resource import Resource, path_or_id


class Trash(Resource):
    """The trash: a file in it is named by a `File` or its id."""

    def list(self) -> Iterator[File]:
        """Iterate over the trash, last deleted first."""
        return self._pages(trash.list_all())

    def restore(self, file: File | str, *, parent_path: str | None = None) -> File:
        """Restore to the old folder or to `parent_path`; a taken name gets a number.

        Raises: NotFound (the trashed file, or the folder), ParentGone, NotAFolder.
        """
        return self._run(trash.restore(path_or_id(file), parent_path))

    def purge(self, file: File | str) -> None:
        """Delete a file or folder in the trash permanently. Raises NotFound."""
        return self._run(trash.purge(path_or_id(file)))

    def empty(self) -> None:
        """Delete the contents of the trash permanently."""
        return self._run(trash.empty())
