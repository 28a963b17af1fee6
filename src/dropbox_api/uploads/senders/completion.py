"""Bring a session under a link on: reconcile, complete, abort, as its sender asks."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from sqlalchemy import update

from dropbox_api import problems
from dropbox_api.core.fingerprint import parse_sha256
from dropbox_api.db import Tx
from dropbox_api.models import Upload
from dropbox_api.plumbing.store_problems import to_problem
from dropbox_api.responses import describe_problem
from dropbox_api.storage.object_store import StoreError
from dropbox_api.uploads import abort, complete, link_sessions, reconcile, schemas, sessions
from dropbox_api.uploads.senders import sender
from dropbox_api.uploads.senders.sender import SenderContext
from dropbox_api.uploads.sessions import UploadSession

COMPLETED_AT_ONCE = 8
"""Of one batch: each holds a connection to the store while it assembles."""


@asynccontextmanager
async def _hiding_closed(context: SenderContext, upload_id: uuid.UUID) -> AsyncIterator[None]:
    """Answer NotFound where the link was closed while the block ran."""
    try:
        yield
    except (problems.ParentGone, problems.UploadEnded):
        await sender.require_session(context, upload_id)
        raise


async def reconcile_upload(context: SenderContext, upload_id: uuid.UUID) -> schemas.LinkUpload:
    """Record what S3 holds of a session, and prolong its life once a part has arrived; return it.

    Raises NotFound, UploadExpired when S3 has discarded the upload, Unavailable, StoreError.
    Transaction: as `reconcile.reconcile_session`.
    """
    await sender.require_session(context, upload_id)
    async with _hiding_closed(context, upload_id):
        await reconcile.reconcile_session(context, upload_id)
    async with context.db.begin() as tx:
        session = await sessions.lock_known_session(tx, upload_id)
        if session.state == "active":
            await link_sessions.touch(tx, upload_id, context.settings)
        return (await sender.load_link_views(tx, [upload_id]))[upload_id]


async def complete_upload(
    context: SenderContext, upload_id: uuid.UUID, fingerprint: str | None, deadline: float | None = None
) -> schemas.LinkUpload:
    """Complete a session; return it, not yet completed when S3 needs longer (ask again). Repeating it is fine.

    `deadline` is that of a batch (`time.monotonic`).

    Raises NotFound, FingerprintRequired, FingerprintMismatch, PartsMissing, UploadEnded, UploadExpired, UploadFailed,
    Unavailable, StoreError.
    Transaction: one for the fingerprint and the call; T1, S3, T2.
    """
    await sender.require_session(context, upload_id)
    async with context.db.begin() as tx:
        session = await sessions.lock_known_session(tx, upload_id)
        if fingerprint is not None:
            await _set_fingerprint(tx, session, parse_sha256(fingerprint))
        if session.state == "active":
            await link_sessions.touch(tx, upload_id, context.settings)
    async with _hiding_closed(context, upload_id):
        await complete.complete_session(context, upload_id, deadline)
    return await sender.get_upload(context, upload_id)


async def _set_fingerprint(tx: Tx, session: UploadSession, digest: bytes) -> None:
    """Record the fingerprint of a session that has none. It looks nothing up: the owner's content stays hidden.

    Raises FingerprintMismatch. Transaction: joins tx, which holds the session's lock.
    """
    if session.fingerprint is None and session.is_live:
        await tx.execute(update(Upload).where(Upload.id == session.id).values(fingerprint=digest))
    elif session.fingerprint not in {None, digest}:
        raise problems.FingerprintMismatch


async def complete_batch(
    context: SenderContext, items: Sequence[schemas.CompleteLinkUploadItem]
) -> schemas.CompletedLinkUploadBatch:
    """Complete up to 20 sessions, a few at a time, as far as the time allows; each has its own outcome, in order."""
    deadline = complete.find_deadline(context)
    gate = asyncio.Semaphore(COMPLETED_AT_ONCE)

    async def complete_one(item: schemas.CompleteLinkUploadItem) -> schemas.CompletedLinkUploadItem:
        try:
            async with gate:
                upload = await complete_upload(context, item.upload_id, item.fingerprint, deadline)
        except problems.Problem as problem:
            return schemas.CompletedLinkUploadItem(upload_id=item.upload_id, problem=describe_problem(problem))
        except StoreError as error:
            return schemas.CompletedLinkUploadItem(
                upload_id=item.upload_id, problem=describe_problem(to_problem(error))
            )
        return schemas.CompletedLinkUploadItem(upload_id=item.upload_id, upload=upload)

    return schemas.CompletedLinkUploadBatch(items=await asyncio.gather(*map(complete_one, items)))


async def abort_upload(context: SenderContext, upload_id: uuid.UUID) -> None:
    """End a session and discard its parts. Raises NotFound and what `abort.abort_session` does."""
    session = await sender.require_session(context, upload_id)
    await abort.abort_session(context, session.owner_id, upload_id)
