"""Files and folders."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from dropbox_client.call import Call, Listing, Receiver, read_archive, read_items, read_nothing, read_with, without_none
from dropbox_client.models import (
    Activity,
    ArchiveUrl,
    BatchResult,
    CopyProgress,
    DownloadItem,
    DownloadResult,
    DownloadUrl,
    File,
    FileState,
    Manifest,
    NameResult,
    OnConflict,
    Operation,
    Order,
    ProcessingState,
    TreeEntry,
)

_ROWS_PER_PAGE = 10_000

_read_file = read_with(File.from_json)


def get(file_id: str, *, thumbnails: bool = False) -> Call[File]:
    return Call("GET", f"/v1/files/{file_id}", _read_file, query=_ask_for(thumbnails))


def get_by_path(path: str, *, thumbnails: bool = False) -> Call[File]:
    return Call("GET", "/v1/files/by-path", _read_file, query={"path": path, **_ask_for(thumbnails)})


def _ask_for(thumbnails: bool) -> dict[str, str]:
    return {"thumbnails": "true"} if thumbnails else {}


def look_up(ids: Sequence[str]) -> Call[list[FileState]]:
    return Call("POST", "/v1/files/lookup", read_items(FileState.from_json), body={"ids": list(ids)})


def find_names(folder_id: str, names: Sequence[str]) -> Call[list[NameResult]]:
    reader = read_items(NameResult.from_json)
    return Call("POST", f"/v1/files/{folder_id}/names", reader, body={"names": list(names)})


def get_below(folder_id: str, path: str) -> Call[File]:
    return Call("GET", f"/v1/files/{folder_id}/by-path", _read_file, query={"path": path})


def list_folder(
    folder: str, order: Order, *, recursive: bool, kind: str | None = None, thumbnails: bool = False
) -> Listing[File]:
    """`folder` is a path that starts with a slash, or an id."""
    query = {"path": folder} if folder.startswith("/") else {"parent_id": folder}
    query |= _ask_for(thumbnails)
    if order != "name":
        query["order"] = order
    if recursive:
        query["recursive"] = "true"
    if kind is not None:
        query["kind"] = kind
    return Listing("/v1/files", File.from_json, query)


def list_recent(page_items: int, *, thumbnails: bool = False) -> Listing[File]:
    return Listing("/v1/files/recent", File.from_json, {"limit": str(page_items), **_ask_for(thumbnails)})


class _Tree(Listing[TreeEntry]):
    """Rows of values, whose names are told once in a page."""

    def read_items(self, document: Any) -> Sequence[TreeEntry]:
        return [self.read_item(dict(zip(document["columns"], row, strict=True))) for row in document["items"]]


def list_tree(root_id: str | None) -> Listing[TreeEntry]:
    return _Tree("/v1/tree", TreeEntry.from_json, without_none(root_id=root_id, limit=str(_ROWS_PER_PAGE)))


def search(
    text: str | None,
    *,
    folder: str | None,
    kind: str | None,
    content_type: str | None,
    min_bytes: int | None,
    max_bytes: int | None,
    modified_after: datetime | None,
    modified_before: datetime | None,
    page_items: int,
    thumbnails: bool = False,
) -> Listing[File]:
    is_path = folder is not None and folder.startswith("/")
    query = without_none(
        q=text,
        path=folder if is_path else None,
        parent_id=None if is_path else folder,
        kind=kind,
        content_type=content_type,
        min_bytes=None if min_bytes is None else str(min_bytes),
        max_bytes=None if max_bytes is None else str(max_bytes),
        modified_after=modified_after and modified_after.isoformat(),
        modified_before=modified_before and modified_before.isoformat(),
        limit=str(page_items),
    )
    return Listing("/v1/search", File.from_json, query | _ask_for(thumbnails))


def sign_download(file_id: str, revision_id: str | None, *, inline: bool = False) -> Call[DownloadUrl]:
    query = without_none(revision=revision_id) | ({"inline": "true"} if inline else {})
    return Call("GET", f"/v1/files/{file_id}/download", read_with(DownloadUrl.from_json), query=query)


def read_manifest(file_id: str, revision_id: str | None, cursor: str | None) -> Call[Manifest]:
    query = without_none(revision=revision_id, cursor=cursor)
    return Call("GET", f"/v1/files/{file_id}/manifest", read_with(Manifest.from_json), query=query)


def download_batch(items: Sequence[DownloadItem]) -> Call[list[DownloadResult]]:
    body = {"items": [without_none(file_id=item.file_id, revision_id=item.revision_id) for item in items]}
    return Call("POST", "/v1/files/download-batch", read_items(DownloadResult.from_json), body=body)


def batch(operations: Sequence[Operation]) -> Call[list[BatchResult]]:
    body = {"operations": [operation.to_json() for operation in operations]}
    return Call("POST", "/v1/files/batch", read_items(BatchResult.from_json), body=body, creates=True)


def create_archive(file_ids: Sequence[str]) -> Call[ArchiveUrl]:
    return Call("POST", "/v1/archives", read_with(ArchiveUrl.from_json), body={"ids": list(file_ids)})


def get_archive(folder_id: str, receiver: Receiver) -> Call[None]:
    return Call("GET", f"/v1/files/{folder_id}/archive", read_archive, receiver=receiver)


def create_folder(path: str) -> Call[File]:
    above, _, name = path.rstrip("/").rpartition("/")
    body = {"name": name, "parent_path": above or "/"} if name else {"path": "/"}
    return Call("POST", "/v1/folders", _read_file, body=body, creates=True)


def create_folders(path: str) -> Call[File]:
    return Call("POST", "/v1/folders", _read_file, body={"path": path, "on_conflict": "reuse"}, creates=True)


def create_folder_in(folder_id: str, name: str, *, reuse: bool) -> Call[File]:
    body = {"name": name, "parent_id": folder_id, "on_conflict": "reuse" if reuse else "fail"}
    return Call("POST", "/v1/folders", _read_file, body=body, creates=True)


def move(
    file_id: str, *, name: str | None, folder: str | None, on_conflict: OnConflict, if_match: str | None
) -> Call[File]:
    body = without_none(name=name, **_folder(folder), on_conflict=on_conflict)
    return Call("PATCH", f"/v1/files/{file_id}", _read_file, body=body, if_match=if_match)


def set_content_type(file_id: str, content_type: str, *, if_match: str | None) -> Call[File]:
    return Call("PATCH", f"/v1/files/{file_id}", _read_file, body={"content_type": content_type}, if_match=if_match)


def set_modified_at(file_id: str, modified_at: datetime, *, if_match: str | None) -> Call[File]:
    body = {"client_modified_at": modified_at.isoformat()}
    return Call("PATCH", f"/v1/files/{file_id}", _read_file, body=body, if_match=if_match)


def set_executable(file_id: str, *, executable: bool, if_match: str | None) -> Call[File]:
    body = {"executable": executable}
    return Call("PATCH", f"/v1/files/{file_id}", _read_file, body=body, if_match=if_match)


def copy(file_id: str, *, name: str | None, folder: str | None, on_conflict: OnConflict) -> Call[File]:
    body = without_none(name=name, **_folder(folder), on_conflict=on_conflict)
    return Call("POST", f"/v1/files/{file_id}/copy", _read_file, body=body, creates=True)


def start_copy(file_id: str, *, name: str | None, folder: str, on_conflict: OnConflict) -> Call[CopyProgress]:
    body = without_none(file_id=file_id, name=name, **_folder(folder), on_conflict=on_conflict)
    return Call("POST", "/v1/copies", read_with(CopyProgress.from_json), body=body, creates=True)


def get_copy(copy_id: str) -> Call[CopyProgress]:
    return Call("GET", f"/v1/copies/{copy_id}", read_with(CopyProgress.from_json))


def cancel_copy(copy_id: str) -> Call[None]:
    return Call("DELETE", f"/v1/copies/{copy_id}", read_nothing)


def move_to_trash(file_id: str, *, force: bool, if_match: str | None) -> Call[None]:
    query = {"force": "true"} if force else {}
    return Call("DELETE", f"/v1/files/{file_id}", read_nothing, query=query, if_match=if_match)


def list_activity(file_id: str) -> Listing[Activity]:
    return Listing(f"/v1/files/{file_id}/activity", Activity.from_json)


def report_processing(
    file_id: str, state: ProcessingState, *, detail: str | None, revision_id: str | None
) -> Call[File]:
    body = without_none(state=state, detail=detail, revision_id=revision_id)
    return Call("PUT", f"/v1/files/{file_id}/processing", _read_file, body=body)


def accept_content(file_id: str) -> Call[File]:
    return Call("POST", f"/v1/files/{file_id}/accept-content", _read_file)


def _folder(folder: str | None) -> dict[str, str]:
    if folder is None:
        return {}
    return {"parent_path" if folder.startswith("/") else "parent_id": folder}
