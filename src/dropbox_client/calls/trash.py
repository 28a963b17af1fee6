"""The trash."""

from dropbox_client.call import Call, Listing, read_nothing, read_with, without_none
from dropbox_client.models import File


def list_all() -> Listing[File]:
    return Listing("/v1/trash", File.from_json)


def restore(file_id: str, parent_path: str | None) -> Call[File]:
    body = without_none(parent_path=parent_path)
    return Call("POST", f"/v1/files/{file_id}/restore", read_with(File.from_json), body=body)


def purge(file_id: str) -> Call[None]:
    return Call("DELETE", f"/v1/trash/{file_id}", read_nothing)


def empty() -> Call[None]:
    return Call("DELETE", "/v1/trash", read_nothing)
