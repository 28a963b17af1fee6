"""Public links."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from dropbox_client.call import Call, Listing, read_nothing, read_with, without_none
from dropbox_client.models import Link, LinkMode, LinkUpload, UploadState

_read_link = read_with(Link.from_json)


def list_of(file_id: str) -> Listing[Link]:
    return Listing(f"/v1/files/{file_id}/links", Link.from_json)


def create(
    file_id: str,
    mode: LinkMode,
    *,
    password: str | None,
    expires_at: datetime | None,
    limits: Mapping[str, int | None],
) -> Call[Link]:
    body = {"mode": mode, "password": password, "expires_at": expires_at and expires_at.isoformat(), **limits}
    return Call("POST", f"/v1/files/{file_id}/links", _read_link, body=body, creates=True)


def change(link_id: str, changes: dict[str, Any]) -> Call[Link]:
    """`changes` has the members to change; None removes the condition."""
    return Call("PATCH", f"/v1/links/{link_id}", _read_link, body=changes)


def list_uploads(link_id: str, state: UploadState | None) -> Listing[LinkUpload]:
    query = without_none(state=state, limit="100")
    return Listing(f"/v1/links/{link_id}/uploads", LinkUpload.from_json, query)


def abort_upload(link_id: str, upload_id: str) -> Call[None]:
    return Call("DELETE", f"/v1/links/{link_id}/uploads/{upload_id}", read_nothing)


def revoke(link_id: str) -> Call[None]:
    return Call("DELETE", f"/v1/links/{link_id}", read_nothing)
