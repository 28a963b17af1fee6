"""Sign parts of a session under a link, as far as the window has room for them."""

import uuid
from collections.abc import Sequence

from sqlalchemy import select, update

from dropbox_api import problems
from dropbox_api.core.fingerprint import parse_sha256
from dropbox_api.db import Tx
from dropbox_api.models import Upload, UploadChunk
from dropbox_api.plumbing.failpoints import failpoint
from dropbox_api.uploads import link_sessions, multipart, parts, plans, quota, reconcile, schemas, sessions
from dropbox_api.uploads.parts import RegisteredChunk
from dropbox_api.uploads.senders import sender, window
from dropbox_api.uploads.senders.sender import SenderContext
from dropbox_api.uploads.sessions import UploadSession


async def sign_parts(
    context: SenderContext, upload_id: uuid.UUID, wanted: Sequence[schemas.ChunkHash]
) -> list[schemas.SignedPart]:
    """Register the hashes of chunks and return signed URLs: of all of them, or of the first ones that have room.

    Where none has room, the session is reconciled first: parts that have arrived make room.
    Raises NotFound, InvalidRequest, ChunkMismatch, UploadCompleting, UploadEnded, UploadExpired, UploadFailed,
    QuotaExceeded, TooManyUploads (no room: other uploads wait for their parts), StoreFull, Unavailable, StoreError.
    Transaction: one under the owner's lock, or S3 and another one; signing is local.
    """
    session = await sender.require_session(context, upload_id)
    plans.require_chunks(wanted, session.chunk_count)
    await context.store.require_space()
    await multipart.ensure_open_session(context, session)
    if not session.confirmed_bytes and await _has_signed_chunks(context, session):
        # Its time runs out unless a part is confirmed, and a sender may never ask for that.
        await reconcile.reconcile_session(context, upload_id)
    signed = await _register_fitting(context, session, wanted)
    if isinstance(signed, problems.Problem):
        await reconcile.reconcile_session(context, upload_id)
        signed = await _register_fitting(context, session, wanted)
    if isinstance(signed, problems.Problem):
        raise signed
    await failpoint("uploads.sign.after_record")
    return signed


async def _has_signed_chunks(context: SenderContext, session: UploadSession) -> bool:
    if session.is_single:
        return False
    signed = select(UploadChunk.number).where(UploadChunk.upload_id == session.id, UploadChunk.sha256.is_not(None))
    async with context.db.read() as tx:
        return (await tx.execute(signed.limit(1))).first() is not None


async def _register_fitting(
    context: SenderContext, session: UploadSession, wanted: Sequence[schemas.ChunkHash]
) -> list[schemas.SignedPart] | problems.Problem:
    """Register and sign the first chunks that the window has room for; return the problem where it has none."""
    async with context.db.begin() as tx:
        room = await window.lock_window(tx, session.owner_id)
        session = await sessions.lock_known_session(tx, session.id)
        if await link_sessions.find_closed(tx, [session]):
            raise problems.NotFound
        parts.require_active(session)
        fitting, problem = await _choose_fitting(tx, session, wanted, room)
        if problem and not fitting:
            return problem
        hashes = {part.number: parse_sha256(part.sha256) for part in fitting}
        chunks = await _register(tx, session, hashes)
        await link_sessions.touch(tx, session.id, context.settings)
    return parts.sign_chunks(context, session, [chunks[part.number] for part in fitting])


async def _choose_fitting(
    tx: Tx, session: UploadSession, wanted: Sequence[schemas.ChunkHash], room: window.Window
) -> tuple[list[schemas.ChunkHash], problems.Problem | None]:
    """Return the first of the chunks that have room, and the problem of the next one. A signed chunk has its room."""
    columns = (UploadChunk.number, UploadChunk.size_bytes, UploadChunk.sha256)
    known = select(*columns).where(
        UploadChunk.upload_id == session.id, UploadChunk.number.in_([part.number for part in wanted])
    )
    new_bytes = {row.number: 0 if row.sha256 else row.size_bytes for row in await tx.execute(known)}
    fitting: list[schemas.ChunkHash] = []
    for part in wanted:
        if (size_bytes := new_bytes[part.number]) and (problem := room.take(size_bytes)):
            return fitting, problem
        fitting.append(part)
    return fitting, None


async def _register(tx: Tx, session: UploadSession, hashes: dict[int, bytes]) -> dict[int, RegisteredChunk]:
    """Register hashes and reserve the bytes of chunks that had none; return the chunks by number.

    Transaction: joins tx, which holds the owner's lock and the session's.
    """
    unsigned = select(UploadChunk.number).where(
        UploadChunk.upload_id == session.id, UploadChunk.number.in_(hashes), UploadChunk.sha256.is_(None)
    )
    new = set((await tx.execute(unsigned)).scalars())
    chunks = await parts.register_hashes(tx, session, hashes)
    reserved_bytes = sum(chunks[number].size_bytes for number in new)
    if reserved_bytes:
        more = Upload.reserved_bytes + reserved_bytes
        await tx.execute(update(Upload).where(Upload.id == session.id).values(reserved_bytes=more))
        await quota.reserve_quota(tx, session.owner_id, reserved_bytes, 0)
    return chunks
