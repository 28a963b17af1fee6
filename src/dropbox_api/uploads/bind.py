"""Bind: give a session the fingerprint that its client computed while it was sending (late fingerprint)."""

import contextlib
import uuid
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, update

from dropbox_api import problems
from dropbox_api.context import Context
from dropbox_api.core import names
from dropbox_api.core.fingerprint import parse_sha256
from dropbox_api.db import Tx
from dropbox_api.files import guard, put, views
from dropbox_api.models import Upload, UploadDestination
from dropbox_api.plumbing.failpoints import failpoint
from dropbox_api.settings import Settings
from dropbox_api.uploads import (
    abort,
    destinations,
    fingerprints,
    queries,
    quota,
    reconcile,
    record,
    schemas,
    sessions,
)
from dropbox_api.uploads.sessions import UploadSession


@dataclass(frozen=True, slots=True)
class Binding:
    """The session to go on with, and the file where the content is stored already."""

    upload_id: uuid.UUID
    node_id: uuid.UUID | None = None


async def bind_fingerprint(context: Context, upload_id: uuid.UUID, fingerprint: str) -> schemas.CreatedUpload:
    """Bind a session that was started without a fingerprint to it; return what to go on with.

    That is the session itself; or a live session of the same content that holds more of it (it takes over this one's
    destinations, and this one ends); or the file, when the content is stored and verified already.
    Raises NotFound, ParentGone (`destinations.require_open_destination`), FingerprintMismatch (bound to another one,
    or the sizes differ), DestinationRefused, UploadExpired, UploadFailed, UploadEnded, Unavailable, StoreError.
    Transaction: reads, S3 (only where two sessions have the content), T1, S3.
    Idempotent: by fingerprint.
    """
    digest = parse_sha256(fingerprint)
    async with context.db.read() as tx:
        session = await sessions.get_session(tx, context.actor_id, upload_id)
        await destinations.require_open_destination(tx, session)
        twin = await _find_twin(tx, session, digest)
    if twin and session.fingerprint is None:
        # S3 decides which of the two holds more.
        await reconcile.reconcile_upload(context, upload_id)
        with contextlib.suppress(problems.UploadExpired):  # then the twin is live no more
            await reconcile.reconcile_upload(context, twin.id)
    async with context.db.begin() as tx:
        await guard.lock_owner(tx, session.owner_id)
        binding = await _bind(tx, context.settings, context.actor_id, upload_id, digest)
    await failpoint("uploads.bind.after_t1")
    if binding.upload_id != upload_id or binding.node_id:
        await abort.discard_parts(context, upload_id)
    async with context.db.read() as tx:
        if binding.node_id:
            file = await views.get_file(tx, context.actor_id, binding.node_id)
            return schemas.CreatedUpload(upload=None, file=file)
        return schemas.CreatedUpload(upload=await queries.load_view(tx, binding.upload_id), file=None)


def _select_twins(session: UploadSession, digest: bytes) -> Select[Any]:
    """Select the other live session of the same uploader, owner, content and chunking; a unique index allows one."""
    return sessions.select_sessions(
        Upload.uploader_id == session.uploader_id,
        Upload.owner_id == session.owner_id,
        Upload.fingerprint == digest,
        Upload.encoding == session.encoding,
        Upload.chunking == session.chunking,
        Upload.id != session.id,
        sessions.IS_OWN,
        sessions.IS_LIVE,
    )


async def _find_twin(tx: Tx, session: UploadSession, digest: bytes) -> UploadSession | None:
    """Return the other live session of this content, None if there is none."""
    row = (await tx.execute(_select_twins(session, digest))).one_or_none()
    return UploadSession(*row) if row else None


async def _lock_twin(tx: Tx, session: UploadSession, digest: bytes) -> UploadSession | None:
    """Lock the other live session of this content and return it, None if there is none.

    Transaction: joins tx, which holds the owner's lock: without it two transactions could lock two sessions crosswise.
    """
    row = (await tx.execute(_select_twins(session, digest).with_for_update())).one_or_none()
    return UploadSession(*row) if row else None


async def _bind(tx: Tx, settings: Settings, actor_id: uuid.UUID, upload_id: uuid.UUID, digest: bytes) -> Binding:
    """Bind a session, merge it with its twin, or complete it with stored content.

    Transaction: joins tx, which holds the owner's lock.
    """
    session = await sessions.lock_session(tx, actor_id, upload_id)
    if not session.is_live or session.fingerprint is not None:
        return await _rebind(tx, session, digest)
    content = await _find_stored_content(tx, session, digest)
    twin = await _lock_twin(tx, session, digest)
    if any(other and other.size_bytes != session.size_bytes for other in (content, twin)):
        raise problems.FingerprintMismatch("You have content of this fingerprint, and it has another size")
    if content:
        return Binding(upload_id, await _complete_with(tx, session, content))
    if twin:
        kept_id = await _merge(tx, session, twin, digest)
        await sessions.touch_session(tx, kept_id, settings)
        return Binding(kept_id)
    await tx.execute(update(Upload).where(Upload.id == upload_id).values(fingerprint=digest))
    await sessions.touch_session(tx, upload_id, settings)
    return Binding(upload_id)


async def _rebind(tx: Tx, session: UploadSession, digest: bytes) -> Binding:
    """Answer for a session that has ended or has a fingerprint: repetitions get what the first call got."""
    if session.fingerprint not in {None, digest}:
        raise problems.FingerprintMismatch
    if not session.is_live:
        twin = await _find_twin(tx, session, digest)
        if session.state == "aborted" and session.fingerprint == digest and twin:
            return Binding(twin.id)  # merged by an earlier call whose answer was lost
        if session.state != "completed":
            sessions.require_live(session)
    return Binding(session.id)


async def _find_stored_content(tx: Tx, session: UploadSession, digest: bytes) -> put.Content | None:
    """Return the uploader's verified content of this fingerprint.

    None in another account's tree: an editor must see neither whether the owner stores it nor its size.
    """
    if not session.is_in_own_tree:
        return None
    return (await fingerprints.find_verified_content(tx, session.owner_id, {digest})).get(digest)


async def _complete_with(tx: Tx, session: UploadSession, content: put.Content) -> uuid.UUID:
    """Complete a session with content that is stored already; return the file. Raises DestinationRefused."""
    await sessions.end_sessions(tx, session.owner_id, [session.id], "completed", has_leftovers=True)
    values = {"fingerprint": content.fingerprint, "blob_id": content.blob_id}
    await tx.execute(update(Upload).where(Upload.id == session.id).values(**values))
    await record.settle_destinations(tx, session.owner_id, {session.id: content})
    view = await queries.load_view(tx, session.id)
    node_id = next((place.file_id for place in view.destinations if place.revision_id), None)
    if node_id is None:
        raise queries.make_refusal(view)
    return node_id


async def _merge(tx: Tx, session: UploadSession, twin: UploadSession, digest: bytes) -> uuid.UUID:
    """Keep the fuller of two live sessions of one content with the destinations of both; end the other.

    Transaction: joins tx, which holds the owner's lock and both sessions'.
    """
    by_id = await queries.load_views(tx, [session.id, twin.id])
    keeps_twin = twin.state == "completing" or by_id[twin.id].uploaded_bytes >= by_id[session.id].uploaded_bytes
    kept, dropped = (twin, session) if keeps_twin else (session, twin)
    places = {_key(place) for place in by_id[kept.id].destinations}
    moving = [place for place in by_id[dropped.id].destinations if _key(place) not in places]
    await sessions.end_sessions(tx, session.owner_id, [dropped.id], "aborted", has_leftovers=True)
    if moving:
        moved = update(UploadDestination).where(UploadDestination.id.in_([place.id for place in moving]))
        await tx.execute(moved.values(upload_id=kept.id))
        await quota.reserve_quota(tx, session.owner_id, 0, sum(place.file_id is None for place in moving))
    await tx.execute(update(Upload).where(Upload.id.in_([kept.id, dropped.id])).values(fingerprint=digest))
    return kept.id


def _key(place: schemas.DestinationState) -> tuple[uuid.UUID | None, str]:
    """Return what tells an undecided destination from the others of its session."""
    return (place.file_id, "") if place.name is None else (place.parent_id, names.make_key(place.name))
