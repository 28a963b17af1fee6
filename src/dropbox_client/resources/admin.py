"""The accounts of the server; for administrators."""

from collections.abc import Iterator, Sequence

from dropbox_client.calls import admin
from dropbox_client.models.account import AccountKind, CreatedPersonalToken, ManagedUser, PersonalToken, Scope
from dropbox_client.resources.resource import Resource


class Admin(Resource):
    """The accounts of the server; for administrators. Every method raises Forbidden for other callers."""

    def list_users(self, text: str | None = None) -> Iterator[ManagedUser]:
        """Iterate over the accounts, or over those whose address contains `text`."""
        return self._pages(admin.list_users(text))

    def get_user(self, user_id: str) -> ManagedUser:
        """Return an account. Raises NotFound."""
        return self._run(admin.get_user(user_id))

    def create_user(
        self,
        email: str,
        *,
        password: str | None = None,
        kind: AccountKind = "person",
        quota_bytes: int | None = None,
        quota_nodes: int | None = None,
    ) -> ManagedUser:
        """Create an account for a person or a service. Raises EmailTaken, WeakPassword."""
        return self._run(
            admin.create_user(email, password=password, kind=kind, quota_bytes=quota_bytes, quota_nodes=quota_nodes)
        )

    def change_user(
        self,
        user_id: str,
        *,
        is_disabled: bool | None = None,
        is_admin: bool | None = None,
        quota_bytes: int | None = None,
        quota_nodes: int | None = None,
    ) -> ManagedUser:
        """Change an account; None leaves a member alone. Raises NotFound."""
        return self._run(
            admin.change_user(
                user_id, is_disabled=is_disabled, is_admin=is_admin, quota_bytes=quota_bytes, quota_nodes=quota_nodes
            )
        )

    def list_tokens(self, user_id: str) -> Iterator[PersonalToken]:
        """Iterate over the valid tokens of an account. Raises NotFound."""
        return self._pages(admin.list_tokens(user_id))

    def create_token(
        self, user_id: str, name: str, scopes: Sequence[Scope], *, expires_in_s: int | None = None
    ) -> CreatedPersonalToken:
        """Create a token of a service account; only this result has `token`. Raises NotFound."""
        return self._run(admin.create_token(user_id, name, scopes, expires_in_s))

    def revoke_token(self, user_id: str, token_id: str) -> None:
        """Revoke a token of an account immediately. Raises NotFound."""
        return self._run(admin.revoke_token(user_id, token_id))
