"""Manifests: the chunks of a stored content with their hashes, by which a client finds what it has already."""

import uuid

from sqlalchemy import BigInteger, literal, select

from dropbox_api import access, problems
from dropbox_api.context import Context
from dropbox_api.core.chunks import format_chunking
from dropbox_api.db import use_snapshot
from dropbox_api.files import download
from dropbox_api.files.schemas import ContentChunk, Manifest
from dropbox_api.models import Blob, BlobChunk
from dropbox_api.plumbing import page_cursors


async def read_manifest(
    context: Context, node_id: uuid.UUID, revision_id: uuid.UUID | None, *, limit: int, cursor: str | None
) -> Manifest:
    """Return a page of the chunks of a file's content (its head's, or that of one revision), by number.

    A cursor names the blob that it pages: the server may store the content in another one by the next page, which is
    cut elsewhere.
    Raises NotFound (no such file or revision, or no access), NotAFile, ContentQuarantined, ContentDamaged,
    InvalidCursor.
    """
    blob_id, after = page_cursors.decode_key("manifest", cursor, uuid.UUID, int) if cursor else (None, 0)
    async with context.db.begin() as tx:
        await use_snapshot(tx)
        granted = await access.require_role(tx, context.actor_id, node_id)
        content = await download.read_content(tx, granted, revision_id)
        if blob_id not in {None, content.blob_id}:
            raise problems.InvalidCursor
        chunks = (
            select(BlobChunk.number, BlobChunk.offset_bytes, BlobChunk.size_bytes, BlobChunk.sha256)
            .where(BlobChunk.blob_id == content.blob_id, BlobChunk.number > literal(after, BigInteger))
            .order_by(BlobChunk.number)
        )
        rows = (await tx.execute(chunks.limit(limit + 1))).all()
        first = select(Blob.chunking, BlobChunk.size_bytes).join(BlobChunk, BlobChunk.blob_id == Blob.id)
        cut = (await tx.execute(first.where(Blob.id == content.blob_id, BlobChunk.number == 1))).one()
    items = [
        ContentChunk(number=number, offset_bytes=offset, size_bytes=size, sha256=sha256.hex())
        for number, offset, size, sha256 in rows[:limit]
    ]
    return Manifest(
        revision_id=content.revision_id,
        size_bytes=content.size_bytes,
        fingerprint=content.fingerprint.hex(),
        encoding="identity",
        chunking=format_chunking(*cut),
        items=items,
        next_cursor=(
            page_cursors.encode_cursor("manifest", content.blob_id, items[-1].number) if len(rows) > limit else None
        ),
    )
