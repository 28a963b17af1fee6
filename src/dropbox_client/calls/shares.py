"""Grants: the access of other accounts."""

from dropbox_client.call import Call, Listing, read_nothing, read_with
from dropbox_client.models import File, Grant, GrantedRole, OwnShare

_read_grant = read_with(Grant.from_json)


def list_of(file_id: str) -> Listing[Grant]:
    return Listing(f"/v1/files/{file_id}/grants", Grant.from_json)


def grant(file_id: str, email: str, role: GrantedRole) -> Call[Grant]:
    body = {"email": email, "role": role}
    return Call("POST", f"/v1/files/{file_id}/grants", _read_grant, body=body, creates=True)


def change_role(file_id: str, grant_id: str, role: GrantedRole) -> Call[Grant]:
    return Call("PATCH", f"/v1/files/{file_id}/grants/{grant_id}", _read_grant, body={"role": role})


def revoke(file_id: str, grant_id: str) -> Call[None]:
    return Call("DELETE", f"/v1/files/{file_id}/grants/{grant_id}", read_nothing)


def list_with_me() -> Listing[File]:
    return Listing("/v1/shared-with-me", File.from_json)


def list_by_me() -> Listing[OwnShare]:
    return Listing("/v1/shared-by-me", OwnShare.from_json)


def leave(file_id: str) -> Call[None]:
    return Call("DELETE", f"/v1/shared-with-me/{file_id}", read_nothing)
