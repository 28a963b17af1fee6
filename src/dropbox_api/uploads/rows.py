"""How sessions are read and ended: rows, locks, answers. No decisions."""

import uuid
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any, Literal

from sqlalchemy import bindparam, func, select, text, update

from dropbox_api import problems
from dropbox_api.core import ranges
from dropbox_api.core.chunks import StoreLimits
from dropbox_api.db import Tx
from dropbox_api.models import LIVE_UPLOAD, Upload, UploadDestination
from dropbox_api.settings import Settings
from dropbox_api.uploads import schemas

LIVE = ("creating", "active", "completing")

_COLUMNS = Upload.__table__.c


def store_limits(settings: Settings) -> StoreLimits:
    """Return what the store takes, narrowed by the largest file that the settings allow."""
    limits = StoreLimits(settings.s3.min_part_bytes, settings.s3.max_part_bytes, settings.s3.max_parts)
    if settings.uploads.max_file_bytes is None:
        return limits
    return StoreLimits(limits.min_part_bytes, limits.max_part_bytes, limits.max_parts, settings.uploads.max_file_bytes)


async def get(tx: Tx, uploader_id: uuid.UUID, upload_id: uuid.UUID, *, lock: bool = False) -> Any:
    """Return the row of one of the caller's own sessions. Raises NotFound, also for a stream.

    With `lock` the row is locked (after the owner's, where a caller needs both).
    """
    mine = (Upload.id == upload_id, Upload.uploader_id == uploader_id, Upload.strategy != "stream")
    found = select(*_COLUMNS).where(*mine)
    row = (await tx.execute(found.with_for_update() if lock else found)).one_or_none()
    if row is None:
        raise problems.NotFound
    return row


def require_live(row: Any) -> None:
    """Raise the problem of a session that has ended."""
    if row.state == "expired":
        raise problems.UploadExpired
    if row.state == "failed":
        raise problems.UploadFailed(reason=row.failure)
    if row.state not in LIVE:
        raise problems.UploadEnded(f"The upload is {row.state}", state=row.state)


def activity(settings: Settings) -> dict[str, Any]:
    """Return the column values that a sign of life from the client sets."""
    return {
        "last_activity_at": func.now(),
        "expires_at": func.now() + timedelta(seconds=settings.uploads.session_ttl_s),
        "next_check_at": func.now() + timedelta(seconds=settings.uploads.idle_finalise_s),
        "checks": 0,
    }


_END = text(f"""
    WITH ended AS (
        UPDATE uploads SET state = :state, ended_at = now(), leftover = :leftover, failure = :failure,
            lease_token = NULL, lease_until = NULL
        WHERE id = ANY(CAST(:ids AS uuid[])) AND owner_id = :owner_id AND {LIVE_UPLOAD}
        RETURNING id, size_bytes
    ), released AS (
        UPDATE users SET
            reserved_bytes = reserved_bytes - (SELECT coalesce(sum(size_bytes), 0) FROM ended),
            reserved_nodes = reserved_nodes
                - (SELECT count(*) FROM upload_destinations d JOIN ended ON ended.id = d.upload_id)
        WHERE id = :owner_id
    )
    SELECT id FROM ended
""")


async def end(
    tx: Tx,
    owner_id: uuid.UUID,
    upload_ids: Iterable[uuid.UUID],
    state: Literal["completed", "aborted", "expired", "failed"],
    *,
    leftover: bool,
    failure: str | None = None,
) -> set[uuid.UUID]:
    """End live sessions of one owner and release what they reserved; return those that this call ended.

    The only way a reservation is released. `leftover`: S3 may still hold something of theirs, a worker looks.
    Transaction: joins tx, which holds the owner's lock.
    """
    values = {"state": state, "leftover": leftover, "failure": failure, "owner_id": owner_id, "ids": list(upload_ids)}
    return set((await tx.execute(_END, values)).scalars())


_CHUNKS = text("""
    SELECT upload_id,
        array_agg(number) FILTER (WHERE state = 'uploaded') AS uploaded,
        array_agg(number) FILTER (WHERE state <> 'uploaded') AS missing,
        array_agg(number) FILTER (WHERE state = 'mismatched') AS mismatched,
        coalesce(sum(size_bytes) FILTER (WHERE state = 'uploaded'), 0) AS uploaded_bytes
    FROM upload_chunks WHERE upload_id = ANY(CAST(:ids AS uuid[])) GROUP BY upload_id
""")

_UPLOADS = select(*_COLUMNS).where(Upload.id.in_(bindparam("ids", expanding=True)))

_DESTINATIONS = (
    select(*UploadDestination.__table__.c)
    .where(UploadDestination.upload_id.in_(bindparam("ids", expanding=True)))
    .order_by(UploadDestination.created_at, UploadDestination.id)
)


async def views(tx: Tx, upload_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, schemas.Upload]:
    """Return sessions as clients see them, by id. Asks nobody for permission."""
    if not upload_ids:
        return {}
    ids = {"ids": list(upload_ids)}
    # First, so that a state is never newer than what is told beside it.
    uploads = (await tx.execute(_UPLOADS, ids)).all()
    chunks = {row.upload_id: row for row in await tx.execute(_CHUNKS, ids)}
    places: dict[uuid.UUID, list[schemas.DestinationState]] = {}
    for row in await tx.execute(_DESTINATIONS, ids):
        places.setdefault(row.upload_id, []).append(destination(row))
    return {
        row.id: schemas.Upload(
            id=row.id,
            state=row.state,
            fingerprint=row.fingerprint.hex() if row.fingerprint else None,
            size_bytes=row.size_bytes,
            strategy=row.strategy,
            chunk_size_bytes=row.chunk_size_bytes,
            chunk_count=row.chunk_count,
            uploaded=ranges.encode_ranges(chunks[row.id].uploaded or ()),
            missing=ranges.encode_ranges(chunks[row.id].missing or ()),
            mismatched=ranges.encode_ranges(chunks[row.id].mismatched or ()),
            uploaded_bytes=chunks[row.id].uploaded_bytes,
            created_at=row.created_at,
            last_activity_at=row.last_activity_at,
            expires_at=row.expires_at,
            destinations=places.get(row.id, []),
            failure=row.failure,
        )
        for row in uploads
    }


def destination(row: Any) -> schemas.DestinationState:
    return schemas.DestinationState(
        id=row.id,
        parent_id=row.parent_id,
        name=row.name,
        on_conflict=row.on_conflict,
        file_id=row.node_id,
        revision_id=row.revision_id,
        problem=row.problem,
    )


async def touch(tx: Tx, upload_id: uuid.UUID, settings: Settings) -> None:
    """Record a sign of life. Transaction: joins tx."""
    await tx.execute(update(Upload).where(Upload.id == upload_id).values(**activity(settings)))
