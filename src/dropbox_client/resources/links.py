"""Public links."""

from collections.abc import Iterator
from datetime import datetime

from dropbox_client.calls import links
from dropbox_client.models.files import FileRef
from dropbox_client.models.sharing import KEEP, Keep, Link, LinkMode
from dropbox_client.models.uploads import LinkUpload, UploadState
from dropbox_client.resources.resource import Resource


class Links(Resource):
    """Public links."""

    def list(self, file: FileRef) -> Iterator[Link]:
        """Iterate over the links to a file or folder, newest first. Raises NotFound."""
        return self._pages_of(file, links.list_of)

    def create(
        self,
        file: FileRef,
        mode: LinkMode,
        *,
        password: str | None = None,
        expires_at: datetime | None = None,
        max_downloads: int | None = None,
        max_bytes: int | None = None,
        max_file_bytes: int | None = None,
        max_files: int | None = None,
    ) -> Link:
        """Create a public link that allows `mode`; the last three limit what an upload link takes.

        Raises NotFound, RootFolder, NotAFolder.
        """
        limits = {
            "max_downloads": max_downloads,
            "max_bytes": max_bytes,
            "max_file_bytes": max_file_bytes,
            "max_files": max_files,
        }
        file_id = self._resolve(file)
        return self._run(links.create(file_id, mode, password=password, expires_at=expires_at, limits=limits))

    def change(
        self,
        link_id: str,
        *,
        password: str | Keep | None = KEEP,
        expires_at: datetime | Keep | None = KEEP,
        max_downloads: int | Keep | None = KEEP,
        max_bytes: int | Keep | None = KEEP,
        max_file_bytes: int | Keep | None = KEEP,
        max_files: int | Keep | None = KEEP,
    ) -> Link:
        """Change conditions of a link; None removes one, and KEEP leaves it alone. Raises NotFound."""
        expiry = expires_at.isoformat() if isinstance(expires_at, datetime) else expires_at
        members = {
            "password": password,
            "expires_at": expiry,
            "max_downloads": max_downloads,
            "max_bytes": max_bytes,
            "max_file_bytes": max_file_bytes,
            "max_files": max_files,
        }
        changes = {name: value for name, value in members.items() if value is not KEEP}
        return self._run(links.change(link_id, changes))

    def list_uploads(self, link_id: str, *, state: UploadState | None = None) -> Iterator[LinkUpload]:
        """Iterate over what is being sent, or was sent lately, to an upload link, newest first. Raises NotFound."""
        return self._pages(links.list_uploads(link_id, state))

    def abort_upload(self, link_id: str, upload_id: str) -> None:
        """Abort an upload that a sender has begun. Raises NotFound, UploadEnded, UploadCompleting."""
        return self._run(links.abort_upload(link_id, upload_id))

    def revoke(self, link_id: str) -> None:
        """Revoke a link immediately and permanently. Raises NotFound."""
        return self._run(links.revoke(link_id))
