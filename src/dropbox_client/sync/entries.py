"""Nodes of the server, as lists, events and answers show them, as entries of the remote tree."""

from dropbox_client.models import File, TreeEntry
from dropbox_client.sync.trees import ContentId, RemoteEntry


def read_etag(etag: str) -> tuple[str, int]:
    """Return epoch and version of an ETag. Raises ValueError."""
    epoch, _, version = etag.strip('"').rpartition(".")
    return epoch, int(version)


def read_file(file: File) -> RemoteEntry:
    """Return a file or folder of an event, or of the answer to a change."""
    return RemoteEntry(
        file.id,
        file.parent_id,
        file.name,
        file.kind,
        _read_content(file),
        file.revision_id,
        read_etag(file.etag)[1],
        bool(file.executable),
        file.content_status,
    )


def read_tree_entry(entry: TreeEntry) -> RemoteEntry:
    """Return a row of the tree."""
    return RemoteEntry(
        entry.id,
        entry.parent_id,
        entry.name,
        entry.kind,
        _read_content(entry),
        entry.revision_id,
        entry.version,
        entry.executable,
        entry.content_status,
    )


def _read_content(file: File | TreeEntry) -> ContentId | None:
    if file.fingerprint is None or file.size_bytes is None:
        return None
    return ContentId(file.fingerprint, file.size_bytes)
