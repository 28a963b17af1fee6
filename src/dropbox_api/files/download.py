"""Downloads: where a file's content is stored, and a short-lived URL of it."""

import uuid
from typing import NamedTuple

from sqlalchemy import select

from dropbox_api import access, problems
from dropbox_api.context import Context, Services
from dropbox_api.core.content_types import find_shown_type
from dropbox_api.db import Tx
from dropbox_api.files.schemas import DownloadUrl
from dropbox_api.head_request import is_head
from dropbox_api.models import Blob, Node, Revision
from dropbox_api.plumbing import request_source
from dropbox_api.storage.object_store import ResponseHeaders, SignedRequest


class StoredContent(NamedTuple):
    """The content of one revision: where it is stored and how to serve it."""

    owner_id: uuid.UUID
    name: str
    content_type: str
    revision_id: uuid.UUID
    size_bytes: int
    fingerprint: bytes
    content_status: str
    storage_key: str
    etag: str
    is_utf8: bool | None


async def get_content(context: Context, node_id: uuid.UUID, revision_id: uuid.UUID | None = None) -> StoredContent:
    """Return where a file's content (its head's, or that of one revision) is stored.

    Raises NotFound (no such file or revision, or no access), NotAFile, ContentQuarantined, ContentDamaged.
    """
    async with context.db.read() as tx:
        return await read_content(tx, await access.require_role(tx, context.actor_id, node_id), revision_id)


async def read_content(tx: Tx, granted: access.Access, revision_id: uuid.UUID | None = None) -> StoredContent:
    """Return where the content of a file is stored; the caller has checked access.

    Raises NotFound (no such revision), NotAFile, ContentQuarantined, ContentDamaged.
    """
    if granted.kind != "file":
        raise problems.NotAFile
    found = (
        select(
            Node.owner_id,
            Node.name,
            Revision.content_type,
            Revision.id,
            Blob.size_bytes,
            Blob.fingerprint,
            Blob.content_status,
            Blob.storage_key,
            Blob.etag,
            Blob.is_utf8,
        )
        .join(Revision, Revision.node_id == Node.id)
        .join(Blob, Blob.id == Revision.blob_id)
        .where(Node.id == granted.node_id, Revision.id == (revision_id or Node.head_revision_id))
    )
    row = (await tx.execute(found)).one_or_none()
    if row is None:
        raise problems.NotFound
    if row.content_status == "quarantined" and granted.role != "owner":
        raise problems.ContentQuarantined
    if row.content_status == "damaged":
        raise problems.ContentDamaged
    return StoredContent._make(row)


def make_download_url(services: Services, content: StoredContent, *, inline: bool) -> DownloadUrl:
    """Return a URL of content, with what a client needs to check the bytes. `inline`: as for `sign_content`."""
    signed = sign_content(services, content, inline=inline)
    return DownloadUrl.model_validate(
        {
            "url": signed.url,
            "expires_at": signed.expires_at,
            "size_bytes": content.size_bytes,
            "fingerprint": content.fingerprint.hex(),
            "content_status": content.content_status,
            "encoding": "identity",
            "revision_id": content.revision_id,
            "etag": content.etag,
        }
    )


def sign_content(services: Services, content: StoredContent, *, inline: bool) -> SignedRequest:
    """Return a URL of content that is valid for minutes. `inline` has an effect only for types that a browser shows."""
    shown_type = find_shown_type(content.content_type, is_utf8=content.is_utf8) if inline else None
    return services.store.sign_download(
        content.storage_key,
        ResponseHeaders(content.name, shown_type or content.content_type, inline=shown_type is not None),
        method="HEAD" if is_head() else "GET",
        ttl_s=services.settings.uploads.download_url_ttl_s,
        size_bytes=content.size_bytes,
        address=request_source.get_source().address,
    )
