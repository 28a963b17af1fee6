"""Add a destination: give the content of a session another place."""

import uuid

from sqlalchemy import func, insert, select

from dropbox_api import problems
from dropbox_api.context import Context
from dropbox_api.db import Tx
from dropbox_api.files import guard, put
from dropbox_api.files.paths import FileTarget, Target
from dropbox_api.models import Blob, UploadDestination
from dropbox_api.plumbing import idempotency
from dropbox_api.plumbing.idempotency import Once
from dropbox_api.uploads import destinations, queries, quota, record, schemas, sessions
from dropbox_api.uploads.destinations import MAX_DESTINATIONS
from dropbox_api.uploads.sessions import UploadSession


async def add_destination(
    context: Context, upload_id: uuid.UUID, wanted: schemas.AddDestination, once: Once | None
) -> schemas.Upload:
    """Give a session another destination: decided when it completes, or at once if it is completed.

    Raises NotFound, Forbidden, NotAFolder, InvalidName, CrossOwner, TooManyFiles; for a completed session NameTaken,
    RevisionConflict; NothingToPlace (its content has been collected), UploadExpired, UploadFailed, UploadEnded,
    Replayed, IdempotencyMismatch.
    Transaction: one, under the owner's lock. Idempotent: by `once`.
    """
    place = destinations.parse_destination(wanted.destination)
    async with context.db.read() as tx:
        owner_id = (await sessions.get_session(tx, context.actor_id, upload_id)).owner_id
    async with context.db.begin() as tx:
        await guard.lock_owner(tx, owner_id)
        await idempotency.claim_key(tx, once)
        session = await sessions.lock_session(tx, context.actor_id, upload_id)
        if session.state != "completed":
            sessions.require_live(session)
        target = await destinations.require_target(tx, context.actor_id, owner_id, place)
        counted = select(func.count()).where(UploadDestination.upload_id == upload_id)
        if (await tx.execute(counted)).scalar_one() >= MAX_DESTINATIONS:
            raise problems.TooManyFiles(f"One upload has at most {MAX_DESTINATIONS} destinations")
        row = destinations.make_destination_row(upload_id, target, wanted)
        await tx.execute(insert(UploadDestination), [row])
        if session.state == "completed":
            await _place_content(tx, session, row["id"])
        else:
            await _require_base(tx, session, target, wanted.destination.base_revision_id)
            if target.new_nodes and await guard.count_free_nodes(tx, owner_id) < 1:
                raise problems.TooManyFiles
            await quota.reserve_quota(tx, owner_id, 0, target.new_nodes)
            await sessions.touch_session(tx, upload_id, context.settings)
        view = await queries.load_view(tx, upload_id)
        await idempotency.keep_answer(tx, once, 200, view)
        return view


async def _require_base(
    tx: Tx, session: UploadSession, target: Target | FileTarget, base_revision_id: uuid.UUID | None
) -> None:
    """Raise RevisionConflict now for a file whose head is another one, and is not this content."""
    if not isinstance(target, FileTarget):
        return
    node = (await destinations.find_nodes(tx, [target]))[target.key]
    conflict = put.find_conflict(node, target, base_revision_id)
    if conflict and (node.is_trashed or session.fingerprint is None or node.verified != session.fingerprint):
        await put.add_paths(tx, session.uploader_id, [conflict])
        raise conflict


async def _place_content(tx: Tx, session: UploadSession, destination_id: uuid.UUID) -> None:
    """Place the content of a completed session at a new destination. Raises the problem of one that is refused."""
    columns = (Blob.id, Blob.fingerprint, Blob.size_bytes)
    stored = select(*columns).where(Blob.id == session.blob_id, Blob.content_status != "deleting").with_for_update()
    blob = (await tx.execute(stored)).one_or_none()
    if blob is None:
        raise problems.NothingToPlace
    content = put.Content(*blob, is_verified=False)
    await record.settle_destinations(tx, session.owner_id, {session.id: content})
    view = await queries.load_view(tx, session.id)
    refusal = next(place.problem for place in view.destinations if place.id == destination_id)
    if refusal:
        raise problems.all_problems()[refusal.code](refusal.detail, **(refusal.model_extra or {}))
