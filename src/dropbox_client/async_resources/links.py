"""Generated from `resources/links.py` by `make sdk`: edit that module."""

from collections.abc import AsyncIterator
from datetime import datetime

from dropbox_client.async_resources.resource import Resource
from dropbox_client.calls import links
from dropbox_client.models.files import FileRef
from dropbox_client.models.sharing import KEEP, Keep, Link, LinkMode


class Links(Resource):
    """Public links."""

    def list(self, file: FileRef) -> AsyncIterator[Link]:
        """Iterate over the links to a file or folder, newest first. Raises NotFound."""
        return self._pages_of(file, links.list_of)

    async def create(
        self,
        file: FileRef,
        mode: LinkMode,
        *,
        password: str | None = None,
        expires_at: datetime | None = None,
        max_downloads: int | None = None,
    ) -> Link:
        """Create a public link that allows `mode`. Raises NotFound, RootFolder, NotAFolder."""
        return await self._run(
            links.create(
                await self._resolve(file), mode, password=password, expires_at=expires_at, max_downloads=max_downloads
            )
        )

    async def change(
        self,
        link_id: str,
        *,
        password: str | Keep | None = KEEP,
        expires_at: datetime | Keep | None = KEEP,
        max_downloads: int | Keep | None = KEEP,
    ) -> Link:
        """Change conditions of a link; None removes one, and KEEP leaves it alone. Raises NotFound."""
        expiry = expires_at.isoformat() if isinstance(expires_at, datetime) else expires_at
        members = {"password": password, "expires_at": expiry, "max_downloads": max_downloads}
        changes = {name: value for name, value in members.items() if value is not KEEP}
        return await self._run(links.change(link_id, changes))

    async def revoke(self, link_id: str) -> None:
        """Revoke a link immediately and permanently. Raises NotFound."""
        return await self._run(links.revoke(link_id))
