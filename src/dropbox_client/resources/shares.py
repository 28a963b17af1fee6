"""The access of other accounts to files and folders."""

from collections.abc import Iterator

from dropbox_client.calls import shares
from dropbox_client.models.files import File, FileRef
from dropbox_client.models.sharing import Grant, GrantedRole, OwnShare
from dropbox_client.resources.resource import Resource, path_or_id


class Shares(Resource):
    """The access of other accounts to files and folders."""

    def list(self, file: FileRef) -> Iterator[Grant]:
        """Iterate over the grants of a file or folder, own and inherited. Raises NotFound."""
        return self._pages_of(file, shares.list_of)

    def grant(self, file: FileRef, email: str, role: GrantedRole) -> Grant:
        """Share with an address, or change its role. Raises NotFound, RootFolder, CannotShareWith."""
        return self._run(shares.grant(self._resolve(file), email, role))

    def change_role(self, file: FileRef, grant_id: str, role: GrantedRole) -> Grant:
        """Change the role of a grant. Raises NotFound."""
        return self._run(shares.change_role(self._resolve(file), grant_id, role))

    def revoke(self, file: FileRef, grant_id: str) -> None:
        """Revoke a grant. Raises NotFound."""
        return self._run(shares.revoke(self._resolve(file), grant_id))

    def list_with_me(self) -> Iterator[File]:
        """Iterate over the files and folders shared with the caller, last shared first."""
        return self._pages(shares.list_with_me())

    def list_by_me(self) -> Iterator[OwnShare]:
        """Iterate over the caller's files and folders with a grant or a link that works, last shared first."""
        return self._pages(shares.list_by_me())

    def leave(self, file: File | str) -> None:
        """Give up the caller's access to a shared file or folder. Raises NotFound."""
        return self._run(shares.leave(path_or_id(file)))
