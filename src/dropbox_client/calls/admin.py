"""The accounts of the server, for administrators."""

from collections.abc import Sequence

from dropbox_client.call import Call, Listing, read_nothing, read_with, without_none
from dropbox_client.models import AccountKind, CreatedPersonalToken, ManagedUser, PersonalToken, Scope

_read_user = read_with(ManagedUser.from_json)


def list_users(text: str | None) -> Listing[ManagedUser]:
    return Listing("/v1/admin/users", ManagedUser.from_json, without_none(q=text))


def get_user(user_id: str) -> Call[ManagedUser]:
    return Call("GET", f"/v1/admin/users/{user_id}", _read_user)


def create_user(
    email: str, *, password: str | None, kind: AccountKind, quota_bytes: int | None, quota_nodes: int | None
) -> Call[ManagedUser]:
    body = without_none(email=email, password=password, kind=kind, quota_bytes=quota_bytes, quota_nodes=quota_nodes)
    return Call("POST", "/v1/admin/users", _read_user, body=body)


def change_user(
    user_id: str,
    *,
    is_disabled: bool | None,
    is_admin: bool | None,
    quota_bytes: int | None,
    quota_nodes: int | None,
) -> Call[ManagedUser]:
    body = without_none(disabled=is_disabled, is_admin=is_admin, quota_bytes=quota_bytes, quota_nodes=quota_nodes)
    return Call("PATCH", f"/v1/admin/users/{user_id}", _read_user, body=body)


def list_tokens(user_id: str) -> Listing[PersonalToken]:
    return Listing(f"/v1/admin/users/{user_id}/tokens", PersonalToken.from_json)


def create_token(
    user_id: str, name: str, scopes: Sequence[Scope], expires_in_s: int | None
) -> Call[CreatedPersonalToken]:
    body = {"name": name, "scopes": list(scopes), "expires_in_s": expires_in_s}
    return Call("POST", f"/v1/admin/users/{user_id}/tokens", read_with(CreatedPersonalToken.from_json), body=body)


def revoke_token(user_id: str, token_id: str) -> Call[None]:
    return Call("DELETE", f"/v1/admin/users/{user_id}/tokens/{token_id}", read_nothing)
