"""Assembly (step B): let S3 assemble the parts of a claimed session, look at the object, and have it recorded (C)."""

import contextlib
import logging
import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import NoReturn

from sqlalchemy import func, select, text, update

from dropbox_api import problems
from dropbox_api.context import Services
from dropbox_api.core.fingerprint import composite_digest
from dropbox_api.db import Db, wake_readers
from dropbox_api.files import guard
from dropbox_api.models import Upload, UploadChunk
from dropbox_api.plumbing.failpoints import failpoint
from dropbox_api.plumbing.row_leases import NO_LEASE, keep_lease
from dropbox_api.plumbing.store_problems import to_problem
from dropbox_api.storage.object_store import CompletedPart, ObjectNotFound, StoreConflict, StoreError, StoreRejected
from dropbox_api.uploads import queries, reconcile, sessions
from dropbox_api.uploads.proof import is_expected_object
from dropbox_api.uploads.record import StoredObject, delete_objects, record_completion
from dropbox_api.uploads.sessions import UploadSession

log = logging.getLogger(__name__)

MAX_REJECTIONS = 2

_DISTRUST_REUSED = text(
    "UPDATE upload_chunks SET state = 'mismatched' WHERE upload_id = :upload_id AND state = 'reused'"
)


async def assemble_session(services: Services, upload_id: uuid.UUID, token: uuid.UUID) -> None:
    """Bring a claimed session to its end, from wherever the last holder stopped: B and C.

    Raises PartsMissing (S3 refused; the session is active again), UploadFailed, Unavailable (S3 or the database does
    not answer; the lease is given back and any process may go on).
    """
    frozen = (
        select(UploadChunk.number, UploadChunk.etag, UploadChunk.sha256)
        .where(UploadChunk.upload_id == upload_id)
        .order_by(UploadChunk.number)
    )
    async with services.db.read() as tx:
        session = UploadSession(*(await tx.execute(sessions.select_sessions(Upload.id == upload_id))).one())
        parts = [CompletedPart(row.number, row.etag, row.sha256) for row in await tx.execute(frozen)]
    try:
        held = update(Upload).where(Upload.id == upload_id, Upload.lease_token == token)
        async with keep_lease(services.db, held, services.settings.uploads.lease_s):
            stored = await _assemble(services, session, parts, token)
    except StoreError as error:
        await _release_lease(services.db, upload_id, token)
        raise to_problem(error) from error
    except problems.Unavailable:
        await _release_lease(services.db, upload_id, token)
        raise
    await failpoint("uploads.complete.after_head")
    if session.encoding != "identity":
        await _leave_to_decoder(services.db, session, stored)
        return
    async with services.db.begin() as tx:
        refused = await record_completion(tx, session.owner_id, [stored])
    await delete_objects(services, refused)
    await failpoint("uploads.complete.after_t2")


async def _assemble(
    services: Services, session: UploadSession, parts: Sequence[CompletedPart], token: uuid.UUID
) -> StoredObject:
    """Complete at S3, then look at the object; the answer to Complete alone is not believed."""
    is_unknown = False
    try:
        await services.store.complete_multipart(
            session.storage_key, session.known_s3_upload_id, parts, session.size_bytes
        )
    except ObjectNotFound:
        is_unknown = True  # completed by an earlier holder, or discarded: HEAD decides
    except StoreConflict as conflict:
        raise problems.Unavailable("The store is still busy with this upload", retry_after_s=2) from conflict
    except StoreRejected as rejected:
        await _reopen_rejected(services, session, rejected, token)
    await failpoint("uploads.complete.after_s3")
    try:
        info = await services.store.head(session.storage_key)
    except ObjectNotFound:
        await _raise_missing_object(services, session, token, is_unknown=is_unknown)
    digest = composite_digest([part.sha256 for part in parts])
    if not is_expected_object(info, session.size_bytes, digest):
        await fail_session(services.db, session, token, "the assembled object is not what was sent")
        raise problems.UploadFailed(reason="the assembled object is not what was sent")
    return StoredObject(session.id, token, info.etag, digest, is_verified=False)


async def _leave_to_decoder(db: Db, session: UploadSession, stored: StoredObject) -> None:
    """Record that S3 has assembled compressed content, and have a worker decode it."""
    async with db.begin() as tx:
        held = update(Upload).where(
            Upload.id == session.id, Upload.state == "completing", Upload.lease_token == stored.token
        )
        await tx.execute(held.values(encoded_etag=stored.etag, next_check_at=func.now(), **NO_LEASE))
        wake_readers(tx, session.owner_id)


async def _reopen_rejected(
    services: Services, session: UploadSession, rejected: StoreRejected, token: uuid.UUID
) -> None:
    """S3 refused the list and does not say which part: list again, so that only what differs is sent again.

    Returns when S3 knows the multipart upload no more: HEAD decides.
    Raises UploadFailed at the second refusal, else PartsMissing or, when the list is what it was, Unavailable.
    """
    log.warning("complete refused", extra={"upload_id": str(session.id), "s3_code": rejected.code})
    async with services.db.read() as tx:
        listed_at = await reconcile.read_clock(tx)
    try:
        parts = await services.store.list_parts(session.storage_key, session.known_s3_upload_id)
    except ObjectNotFound:
        return  # assembled or discarded meanwhile
    if session.rejections + 1 >= MAX_REJECTIONS:
        await fail_session(services.db, session, token, f"the store refused to assemble the parts: {rejected.code}")
        raise problems.UploadFailed(reason=rejected.code)
    reopened = (
        update(Upload)
        .where(Upload.id == session.id, Upload.state == "completing", Upload.lease_token == token)
        .values(
            state="active",
            rejections=Upload.rejections + 1,
            listed_at=listed_at,
            lease_token=None,
            lease_until=None,
        )
    )
    async with services.db.begin() as tx:
        changed = 0
        if (await tx.execute(reopened)).rowcount:
            changed = await reconcile.apply_listing(tx, session.id, parts)
            # Any reused part may be the refused one, although it is as it was recorded: have them sent.
            changed += (await tx.execute(_DISTRUST_REUSED, {"upload_id": session.id})).rowcount
        view = await queries.load_view(tx, session.id)
    if changed and view.missing:
        raise problems.PartsMissing(missing=view.missing, mismatched=view.mismatched)
    raise problems.Unavailable(f"The store refused to assemble the parts: {rejected.code}", retry_after_s=1)


async def _raise_missing_object(
    services: Services, session: UploadSession, token: uuid.UUID, *, is_unknown: bool
) -> NoReturn:
    """The object does not exist: give the lease back, or fail the session after `gone_grace_s`.

    `is_unknown`: S3 does not know the multipart upload either. A former holder's call may still run, so that only
    the grace period proves the loss.
    Raises UploadFailed, Unavailable.
    """
    grace = timedelta(seconds=services.settings.uploads.gone_grace_s)
    held = update(Upload).where(Upload.id == session.id, Upload.lease_token == token)
    since = func.coalesce(Upload.gone_since, func.now()) if is_unknown else None
    async with services.db.begin() as tx:
        row = await tx.execute(
            held.values(gone_since=since, lease_token=None, lease_until=None).returning(
                Upload.gone_since < func.now() - grace
            )
        )
        is_lost = row.scalar_one_or_none()
    if is_lost:
        await fail_session(services.db, session, None, "the store has lost the parts")
        raise problems.UploadFailed(reason="the store has lost the parts")
    raise problems.Unavailable("The store does not show the object yet", retry_after_s=5)


async def fail_session(db: Db, session: UploadSession, token: uuid.UUID | None, reason: str) -> None:
    """End a session that cannot be completed; its quota is free again, a worker removes what S3 still holds."""
    async with db.begin() as tx:
        await guard.lock_owner(tx, session.owner_id)
        holder = select(Upload.lease_token, Upload.state).where(Upload.id == session.id).with_for_update()
        now = (await tx.execute(holder)).one()
        if now.state == "completing" and now.lease_token == token:
            await sessions.end_sessions(
                tx, session.owner_id, [session.id], "failed", has_leftovers=True, failure=reason
            )


async def _release_lease(db: Db, upload_id: uuid.UUID, token: uuid.UUID) -> None:
    """Give the lease back; when the database does not answer it lapses by itself."""
    with contextlib.suppress(problems.Unavailable):
        async with db.begin() as tx:
            held = update(Upload).where(Upload.id == upload_id, Upload.lease_token == token)
            await tx.execute(held.values(lease_token=None, lease_until=None))
