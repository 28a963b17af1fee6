"""Reuse: which stored chunks may become parts of a session, and the record of that work.

A chunk with a source is `reusing` and has a row in `chunk_reuses` until a worker has made its part, or its client sends
it. Only bytes that the uploader may read anyway are sources: those of the uploader's own account; in the tree of
another account those of the revision that the upload is based on. So neither answers nor times tell what others store.
"""

import uuid
from collections.abc import Collection, Sequence
from typing import NamedTuple

from sqlalchemy import TextClause, and_, select, text

from dropbox_api import access
from dropbox_api.db import Tx
from dropbox_api.models import Revision, UploadDestination
from dropbox_api.settings import Settings
from dropbox_api.storage.probe import BucketCapabilities
from dropbox_api.storage.reuse import MAX_RELAYED_BYTES
from dropbox_api.uploads.parts import RegisteredChunk
from dropbox_api.uploads.schemas import ReuseMode
from dropbox_api.uploads.sessions import UploadSession


class ChunkSource(NamedTuple):
    """Stored bytes of a chunk."""

    blob_id: uuid.UUID
    offset_bytes: int


def choose_mode(settings: Settings, bucket: BucketCapabilities) -> ReuseMode:
    """Return how stored chunks become parts: copied only by a store that proves its copies as it proves sent parts."""
    wanted = settings.s3.reuse
    if wanted in {"off", "relay"}:
        return "off" if wanted == "off" else "relay"
    return "copy" if bucket.level == "A" and bucket.behaviours.get("copy_proven") else "relay"


async def plan_reuse(tx: Tx, session: UploadSession, chunks: Sequence[RegisteredChunk], *, relay: bool) -> int:
    """Mark those of a session's new chunks as `reusing` that have a source; return how many.

    Transaction: joins tx, which holds the session's lock.
    """
    fitting = [chunk for chunk in chunks if not relay or chunk.size_bytes <= MAX_RELAYED_BYTES]
    sources = await find_sources(tx, session, fitting)
    if sources:
        values = {
            "upload_id": session.id,
            "numbers": list(sources),
            "blobs": [source.blob_id for source in sources.values()],
            "offsets": [source.offset_bytes for source in sources.values()],
            "relay": relay,
        }
        await tx.execute(_PLAN, values)
    return len(sources)


_PLAN = text("""
    WITH chosen AS (
        UPDATE upload_chunks SET state = 'reusing'
        FROM unnest(CAST(:numbers AS int[]), CAST(:blobs AS uuid[]), CAST(:offsets AS bigint[]))
            AS source(number, blob_id, offset_bytes)
        WHERE upload_chunks.upload_id = :upload_id AND upload_chunks.number = source.number AND state = 'planned'
        RETURNING source.*
    )
    INSERT INTO chunk_reuses (upload_id, number, blob_id, offset_bytes, relay)
    SELECT :upload_id, number, blob_id, offset_bytes, :relay FROM chosen
""")


async def find_sources(
    tx: Tx, session: UploadSession, chunks: Sequence[RegisteredChunk], excluded: Collection[uuid.UUID] = ()
) -> dict[int, ChunkSource]:
    """Return a source for each chunk that has one, by number: verified content first, and near its object's beginning.

    Bytes near the beginning are the cheapest where a store reads an encrypted object from its beginning.
    """
    bases = None if session.is_in_own_tree else await _find_readable_bases(tx, session)
    if not chunks or bases == []:
        return {}
    sources, among = (_SOURCES, session.owner_id) if bases is None else (_SOURCES_IN_BASES, bases)
    bound = {"among": among, "hashes": list({chunk.sha256 for chunk in chunks}), "excluded": list(excluded)}
    stored = {
        (row.sha256, row.size_bytes): ChunkSource(row.blob_id, row.offset_bytes)
        for row in await tx.execute(sources, bound)
    }
    found = {chunk.number: stored.get((chunk.sha256, chunk.size_bytes)) for chunk in chunks}
    return {number: source for number, source in found.items() if source}


def _select_sources(among: str) -> TextClause:
    """Return the statement that finds sources `among` these rows of `blob_chunks`."""
    return text(f"""
        SELECT DISTINCT ON (chunk.sha256, chunk.size_bytes)
            chunk.sha256, chunk.size_bytes, chunk.blob_id, chunk.offset_bytes
        FROM blob_chunks chunk JOIN blobs ON blobs.id = chunk.blob_id
        WHERE {among} AND chunk.sha256 = ANY(CAST(:hashes AS bytea[]))
            AND blobs.content_status IN ('verified', 'stored') AND blobs.encoding = 'identity'
            AND blobs.id <> ALL(CAST(:excluded AS uuid[]))
        ORDER BY chunk.sha256, chunk.size_bytes, blobs.content_status = 'verified' DESC, chunk.offset_bytes, blobs.id
    """)


_SOURCES = _select_sources("chunk.owner_id = :among")
_SOURCES_IN_BASES = _select_sources("chunk.blob_id = ANY(CAST(:among AS uuid[]))")
"""It reads nothing else of the owner: the time of an answer tells nothing either."""


async def _find_readable_bases(tx: Tx, session: UploadSession) -> list[uuid.UUID]:
    """Return the blobs of the revisions that an upload to files is based on, as far as the uploader may read them."""
    bases = (
        select(Revision.node_id, Revision.blob_id)
        .join(
            UploadDestination,
            and_(
                UploadDestination.file_id == Revision.node_id,
                UploadDestination.base_revision_id == Revision.id,
            ),
        )
        .where(UploadDestination.upload_id == session.id)
    )
    rows = (await tx.execute(bases)).all()
    files = await access.find_editable_files(tx, session.uploader_id, {row.node_id for row in rows})
    return [row.blob_id for row in rows if isinstance(files[row.node_id], access.EditableFile)]
