"""Reconcile: record what S3 holds of a session. The server believes S3's listing, never the client."""

import asyncio
import time
import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, text, update

from dropbox_api import problems
from dropbox_api.context import Context, Services
from dropbox_api.db import Db, Tx
from dropbox_api.files import guard
from dropbox_api.models import Upload, UploadChunk
from dropbox_api.plumbing.failpoints import failpoint
from dropbox_api.storage.object_store import ObjectInfo, ObjectNotFound, ObjectStore
from dropbox_api.uploads import destinations, link_sessions, multipart, sessions
from dropbox_api.uploads.proof import Listing, RecordedChunk, diff_chunks
from dropbox_api.uploads.sessions import UploadSession


async def reconcile_upload(context: Context, upload_id: uuid.UUID, deadline: float | None = None) -> UploadSession:
    """Record what S3 holds of the caller's session, and prolong its life; return the session as it is afterwards.

    A session that is completing or has ended is left alone: its chunks are frozen. S3 is asked until the deadline
    (`time.monotonic`).
    Raises TimeoutError, NotFound; ParentGone (`destinations.require_open_destination`); UploadExpired when S3 has
    discarded the upload (the session ends, the client starts again); Unavailable, StoreError.
    Transaction: read, S3, then one that applies the listing only if no newer one was applied.
    """
    async with context.db.read() as tx:
        session = await sessions.get_session(tx, context.actor_id, upload_id)
    return await _reconcile(context, session, sessions.build_client_activity(context.settings), deadline)


async def reconcile_session(services: Services, upload_id: uuid.UUID, deadline: float | None = None) -> UploadSession:
    """Do what `reconcile_upload` does, without a request of the client: the session's life is not prolonged."""
    async with services.db.read() as tx:
        session = await sessions.read_session(tx, upload_id)
    return await _reconcile(services, session, {}, deadline)


async def _reconcile(
    services: Services, session: UploadSession, activity: Mapping[str, Any], deadline: float | None
) -> UploadSession:
    """Reconcile a session; `activity` holds column values that are set together with the listing."""
    session = await multipart.ensure_open_session(services, session)
    if session.state != "active":
        return session
    async with services.db.read() as tx:
        await destinations.require_open_destination(tx, session)
        listed_at = await read_clock(tx)
    try:
        async with asyncio.timeout(None if deadline is None else max(0.0, deadline - time.monotonic())):
            listing = await _list(services.store, session)
    except ObjectNotFound:
        if await find_object(services.store, session) is None:
            return await _expire_discarded(services.db, session)
        return session  # assembled by a Complete that was given up too early: the next one finds the object
    await failpoint("uploads.reconcile.after_list")
    async with services.db.begin() as tx:
        session = await sessions.lock_known_session(tx, session.id)
        if session.state == "active" and (session.listed_at is None or session.listed_at < listed_at):
            await apply_listing(tx, session.id, listing)
            if session.link_id:
                await link_sessions.confirm_bytes(tx, session.id)
            recorded = update(Upload).where(Upload.id == session.id)
            await tx.execute(recorded.values(listed_at=listed_at, **activity))
    return session


async def read_clock(tx: Tx) -> datetime:
    """Return the database's time now. Read before S3 is listed, it orders listings."""
    now: datetime = (await tx.execute(select(func.clock_timestamp()))).scalar_one()
    return now


async def _list(store: ObjectStore, session: UploadSession) -> Listing:
    """Return what S3 holds of a session. Raises NotFound when S3 does not know the multipart upload, StoreError."""
    if session.is_single:
        return await find_object(store, session)
    return await store.list_parts(session.storage_key, session.known_s3_upload_id)


async def find_object(store: ObjectStore, session: UploadSession) -> ObjectInfo | None:
    """Return the object under a session's key, None where there is none. Raises StoreError."""
    try:
        return await store.head(session.storage_key)
    except ObjectNotFound:
        return None


_OBSERVE = text("""
    UPDATE upload_chunks chunk SET state = seen.state, etag = seen.etag
    FROM unnest(CAST(:numbers AS int[]), CAST(:states AS text[]), CAST(:etags AS text[])) AS seen(number, state, etag)
    WHERE chunk.upload_id = :upload_id AND chunk.number = seen.number
""")


async def apply_listing(tx: Tx, upload_id: uuid.UUID, listing: Listing) -> int:
    """Record a listing in the session's chunks; return how many changed.

    Transaction: joins tx, which holds the session's lock and has checked that its chunks may change.
    """
    recorded = select(
        UploadChunk.number, UploadChunk.size_bytes, UploadChunk.sha256, UploadChunk.state, UploadChunk.etag
    ).where(UploadChunk.upload_id == upload_id)
    observed = diff_chunks(map(RecordedChunk._make, await tx.execute(recorded)), listing)
    if observed:
        values = {
            "upload_id": upload_id,
            "numbers": [chunk.number for chunk in observed],
            "states": [chunk.state for chunk in observed],
            "etags": [chunk.etag for chunk in observed],
        }
        await tx.execute(_OBSERVE, values)
    return len(observed)


async def _expire_discarded(db: Db, session: UploadSession) -> UploadSession:
    """End a session whose multipart upload S3 does not know any more, unless it moved on meanwhile.

    Raises UploadExpired; returns the session that moved on.
    """
    async with db.begin() as tx:
        await guard.lock_owner(tx, session.owner_id)
        now = await sessions.lock_known_session(tx, session.id)
        if now.state != "active" or now.s3_upload_id != session.s3_upload_id:
            return now
        await sessions.end_sessions(tx, now.owner_id, [now.id], "expired", has_leftovers=True)
    raise problems.UploadExpired("The store has discarded the parts; start again")
