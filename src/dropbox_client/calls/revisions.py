"""The revisions of a file."""

from dropbox_client.call import Call, Listing, read_with
from dropbox_client.models import File, Revision


def list_of(file_id: str) -> Listing[Revision]:
    return Listing(f"/v1/files/{file_id}/revisions", Revision.from_json)


def pin(file_id: str, revision_id: str, *, pinned: bool) -> Call[Revision]:
    path = f"/v1/files/{file_id}/revisions/{revision_id}"
    return Call("PATCH", path, read_with(Revision.from_json), body={"pinned": pinned})


def restore(file_id: str, revision_id: str) -> Call[File]:
    path = f"/v1/files/{file_id}/revisions/{revision_id}/restore"
    return Call("POST", path, read_with(File.from_json), creates=True)
