"""Public links."""

from datetime import datetime
from typing import Any

from dropbox_client.call import Call, Listing, read_nothing, read_with
from dropbox_client.models import Link, LinkMode

_read_link = read_with(Link.from_json)


def list_of(file_id: str) -> Listing[Link]:
    return Listing(f"/v1/files/{file_id}/links", Link.from_json)


def create(
    file_id: str, mode: LinkMode, *, password: str | None, expires_at: datetime | None, max_downloads: int | None
) -> Call[Link]:
    body = {
        "mode": mode,
        "password": password,
        "expires_at": expires_at and expires_at.isoformat(),
        "max_downloads": max_downloads,
    }
    return Call("POST", f"/v1/files/{file_id}/links", _read_link, body=body, creates=True)


def change(link_id: str, changes: dict[str, Any]) -> Call[Link]:
    """`changes` has the members to change; None removes the condition."""
    return Call("PATCH", f"/v1/links/{link_id}", _read_link, body=changes)


def revoke(link_id: str) -> Call[None]:
    return Call("DELETE", f"/v1/links/{link_id}", read_nothing)
