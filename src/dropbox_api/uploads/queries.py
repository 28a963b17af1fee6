"""Reads: sessions and chunks as clients see them."""

import asyncio
import time
import uuid
from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, bindparam, literal, select, text

from dropbox_api import problems
from dropbox_api.context import Context
from dropbox_api.core import ranges
from dropbox_api.core.chunks import format_chunking
from dropbox_api.core.fingerprint import parse_sha256
from dropbox_api.db import Tx
from dropbox_api.events.wakeup import Wakeup
from dropbox_api.files import views
from dropbox_api.models import ChunkReuse, Node, Upload, UploadChunk, UploadDestination
from dropbox_api.plumbing import page_cursors
from dropbox_api.uploads import schemas, sessions
from dropbox_api.uploads.sessions import UploadSession

REUSE_POLL_S = 0.25


async def get_upload(context: Context, upload_id: uuid.UUID) -> schemas.Upload:
    """Return one of the caller's sessions. Raises NotFound."""
    async with context.db.read() as tx:
        await sessions.get_session(tx, context.actor_id, upload_id)
        return await load_view(tx, upload_id)


async def await_reuse(context: Context, upload_id: uuid.UUID, wait_s: float, wakeup: Wakeup) -> None:
    """Wait until no chunk of one of the caller's sessions is being reused, for at most `wait_s`.

    Ends at once when the process is about to end.
    """
    deadline = time.monotonic() + wait_s
    own = select(ChunkReuse.number).join(Upload).where(Upload.id == upload_id, Upload.uploader_id == context.actor_id)
    while time.monotonic() < deadline and not wakeup.is_closing:
        async with context.db.read() as tx:
            if (await tx.execute(own.limit(1))).first() is None:
                return
        await asyncio.sleep(REUSE_POLL_S)


async def list_uploads(
    context: Context, *, state: str | None, fingerprint: str | None, limit: int, cursor: str | None
) -> schemas.UploadList:
    """Return a page of the caller's sessions, newest first. Raises InvalidCursor."""
    page = select(Upload.id).where(Upload.uploader_id == context.actor_id, sessions.IS_OWN)
    if state:
        page = page.where(Upload.state == state)
    if fingerprint:
        page = page.where(Upload.fingerprint == parse_sha256(fingerprint))
    if cursor:
        page = page.where(Upload.id < page_cursors.decode_id("uploads", cursor))
    async with context.db.read() as tx:
        ids = list((await tx.execute(page.order_by(Upload.id.desc()).limit(limit + 1))).scalars())
        by_id = await load_views(tx, ids[:limit])
    more = page_cursors.encode_cursor("uploads", ids[limit - 1]) if len(ids) > limit else None
    return schemas.UploadList(items=[by_id[upload_id] for upload_id in ids[:limit]], next_cursor=more)


async def list_chunks(context: Context, upload_id: uuid.UUID, *, limit: int, cursor: str | None) -> schemas.ChunkList:
    """Return a page of a session's chunks, by number. Raises NotFound, InvalidCursor."""
    after = page_cursors.decode_key("chunks", cursor, int)[0] if cursor else 0
    page = select(
        UploadChunk.number,
        UploadChunk.offset_bytes,
        UploadChunk.size_bytes,
        UploadChunk.sha256,
        UploadChunk.state,
        UploadChunk.etag,
    ).where(UploadChunk.upload_id == upload_id, UploadChunk.number > literal(after, BigInteger))
    async with context.db.read() as tx:
        await sessions.get_session(tx, context.actor_id, upload_id)
        rows = (await tx.execute(page.order_by(UploadChunk.number).limit(limit + 1))).all()
    items = [
        schemas.Chunk(
            number=row.number,
            offset_bytes=row.offset_bytes,
            size_bytes=row.size_bytes,
            sha256=row.sha256.hex() if row.sha256 else None,
            state=row.state,
            etag=row.etag,
        )
        for row in rows[:limit]
    ]
    more = page_cursors.encode_cursor("chunks", items[-1].number) if len(rows) > limit else None
    return schemas.ChunkList(items=items, next_cursor=more)


# Views, for the operations


_CHUNK_COUNTS = text("""
    SELECT upload_id,
        array_agg(number) FILTER (WHERE state IN ('uploaded', 'reused')) AS uploaded,
        array_agg(number) FILTER (WHERE state IN ('planned', 'mismatched')) AS missing,
        array_agg(number) FILTER (WHERE state = 'mismatched') AS mismatched,
        array_agg(number) FILTER (WHERE state = 'reusing') AS reusing,
        array_agg(number) FILTER (WHERE state = 'reused') AS reused,
        coalesce(sum(size_bytes) FILTER (WHERE state IN ('uploaded', 'reused')), 0) AS uploaded_bytes,
        coalesce(sum(size_bytes) FILTER (WHERE state = 'reused'), 0) AS reused_bytes,
        sum(size_bytes) AS listed_bytes
    FROM upload_chunks WHERE upload_id = ANY(CAST(:ids AS uuid[])) GROUP BY upload_id
""")

_SESSIONS = sessions.select_sessions(Upload.id.in_(bindparam("ids", expanding=True)))

_DESTINATIONS = (
    select(
        UploadDestination.upload_id,
        UploadDestination.id,
        UploadDestination.parent_id,
        UploadDestination.name,
        UploadDestination.on_conflict,
        UploadDestination.base_revision_id,
        UploadDestination.file_id,
        UploadDestination.node_id,
        UploadDestination.revision_id,
        UploadDestination.problem,
    )
    .where(UploadDestination.upload_id.in_(bindparam("ids", expanding=True)))
    .order_by(UploadDestination.created_at, UploadDestination.id)
)


async def load_views(tx: Tx, upload_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, schemas.Upload]:
    """Return sessions as clients see them, by id. Checks no permission."""
    if not upload_ids:
        return {}
    ids = {"ids": list(upload_ids)}
    # First, so that a state is never newer than the chunks and destinations beside it.
    uploads = [UploadSession(*row) for row in await tx.execute(_SESSIONS, ids)]
    chunks: dict[uuid.UUID, Any] = {row.upload_id: row for row in await tx.execute(_CHUNK_COUNTS, ids)}
    destinations: dict[uuid.UUID, list[schemas.DestinationState]] = {}
    for row in await tx.execute(_DESTINATIONS, ids):
        destinations.setdefault(row.upload_id, []).append(
            schemas.DestinationState(
                id=row.id,
                parent_id=None if row.file_id else row.parent_id,
                name=None if row.file_id else row.name,
                on_conflict=row.on_conflict,
                base_revision_id=row.base_revision_id,
                file_id=row.node_id or row.file_id,
                revision_id=row.revision_id,
                problem=row.problem,
            )
        )
    return {
        session.id: schemas.Upload(
            id=session.id,
            state=session.state,
            fingerprint=session.fingerprint.hex() if session.fingerprint else None,
            size_bytes=session.size_bytes,
            strategy=session.strategy,
            encoding=session.encoding,
            content_bytes=session.stored_bytes,
            chunking=format_chunking(session.chunking, session.chunk_size_bytes),
            chunk_size_bytes=session.chunk_size_bytes,
            chunk_count=session.chunk_count,
            **_view_chunks(chunks.get(session.id)),
            created_at=session.created_at,
            last_activity_at=session.last_activity_at,
            expires_at=session.expires_at,
            destinations=destinations.get(session.id, []),
            failure=session.failure,
        )
        for session in uploads
    }


def _view_chunks(counts: Any) -> dict[str, Any]:
    """Return the members that tell of the chunks; `counts` is None while none is listed."""
    sets = ("uploaded", "missing", "mismatched", "reusing", "reused")
    sums = ("uploaded_bytes", "reused_bytes", "listed_bytes")
    return {
        **{name: ranges.encode_ranges(getattr(counts, name, None) or ()) for name in sets},
        **{name: getattr(counts, name, 0) for name in sums},
    }


async def load_view(tx: Tx, upload_id: uuid.UUID) -> schemas.Upload:
    """Return one session as clients see it. Checks no permission."""
    return (await load_views(tx, [upload_id]))[upload_id]


async def load_results(
    tx: Tx, actor_id: uuid.UUID, upload_ids: Sequence[uuid.UUID]
) -> dict[uuid.UUID, schemas.CompletedUpload | problems.Problem]:
    """Return the file and the destinations of completed sessions, by id.

    UploadCompleting where a session is not completed, DestinationRefused where no destination took the content,
    NotFound where its files were deleted or the actor has no access to them any more.
    """
    by_id = await load_views(tx, upload_ids)
    node_ids = [place.file_id for view in by_id.values() for place in view.destinations if place.revision_id]
    live = select(Node.id, Node.parent_id).where(Node.id.in_(node_ids), Node.trashed_at.is_(None))
    visible = await views.read_live(tx, live.order_by(Node.id), len(node_ids)) if node_ids else []
    by_node = await views.find_files(tx, actor_id, [row.id for row in visible])
    results: dict[uuid.UUID, schemas.CompletedUpload | problems.Problem] = {}
    for upload_id, view in by_id.items():
        file_ids = [place.file_id for place in view.destinations if place.revision_id]
        file = next((by_node[file_id] for file_id in file_ids if file_id in by_node), None)
        if view.state != "completed":
            results[upload_id] = problems.UploadCompleting(retry_after_s=1)
        elif file:
            results[upload_id] = schemas.CompletedUpload(file=file, destinations=view.destinations)
        elif file_ids:
            results[upload_id] = problems.NotFound("The file has been deleted, or you have no access to it any more")
        else:
            results[upload_id] = make_refusal(view)
    return results


def make_refusal(view: schemas.Upload) -> problems.DestinationRefused:
    """Return the problem of a session whose every destination refused the content."""
    refusals = [place.problem.model_dump(exclude_none=True) for place in view.destinations if place.problem]
    return problems.DestinationRefused(problems=refusals)
