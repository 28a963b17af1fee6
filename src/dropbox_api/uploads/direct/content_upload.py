"""Put content: make the body of a request the newest revision of a file."""

import uuid
from dataclasses import dataclass
from datetime import datetime

from dropbox_api import problems
from dropbox_api.context import Context
from dropbox_api.db import Tx
from dropbox_api.files import guard, heads, paths, put, tree, views
from dropbox_api.files.edits import TreeEdit
from dropbox_api.files.guard import LockedNode
from dropbox_api.files.paths import FileTarget, Target
from dropbox_api.files.schemas import File
from dropbox_api.plumbing import idempotency
from dropbox_api.plumbing.failpoints import failpoint
from dropbox_api.plumbing.idempotency import Once
from dropbox_api.schemas import OnConflict
from dropbox_api.uploads import destinations, plans
from dropbox_api.uploads.destinations import FilePlace
from dropbox_api.uploads.direct import direct_session
from dropbox_api.uploads.direct.body import RequestBody
from dropbox_api.uploads.direct.direct_session import Reservation
from dropbox_api.uploads.direct.intake import open_intake


@dataclass(frozen=True, slots=True)
class NewContent:
    """New content of a file, and, unless None, a new name for it."""

    body: RequestBody
    name: str | None
    on_conflict: OnConflict
    """When that name is taken, as in renaming."""
    client_modified_at: datetime | None
    executable: bool | None
    base_revision_id: uuid.UUID | None
    """The revision that must be the head, unless the head has the same content; a deleted file with it comes back."""
    if_match: str | None
    if_none_match: str | None


async def put_content(context: Context, node_id: uuid.UUID, wanted: NewContent, once: Once | None) -> File:
    """Make a body the newest revision of a file, and return the file. Content that it has already makes none.

    Raises NotFound, Forbidden, NotAFile, PreconditionFailed, InvalidName, InvalidRequest (the body ends early),
    DigestMismatch, BodyTooLarge, RevisionConflict, ParentGone, QuotaExceeded, TooManyUploads, NameTaken,
    ProcessingRunning (of the file that would be replaced by the renaming), IdempotencyMismatch, Replayed,
    UploadExpired (it took too long), Unavailable, StoreError.
    Transaction: T1, S3, T2. Idempotent: by `once`.
    """
    actor_id, body, max_bytes = context.actor_id, wanted.body, plans.max_direct_bytes(context.settings)
    body.require_size(max_bytes, max_bytes)
    name = paths.clean_name(wanted.name) if wanted.name is not None else None
    async with context.db.begin() as tx:
        session = None
        if not await idempotency.is_answered(tx, once):
            node = await _lock_file(tx, actor_id, node_id, wanted)
            base = FilePlace(node_id, wanted.base_revision_id) if wanted.base_revision_id else None
            if base and await destinations.find_misplaced_bases(tx, actor_id, [base]):
                raise destinations.refuse_base("/base_revision_id")
            reservation = Reservation(actor_id, node.owner_id, body.bound_content(max_bytes), nodes=0)
            session = await direct_session.claim_session(tx, context.settings, reservation)
    async with open_intake(context, session) as intake:
        await intake.take_all(body.blocks)
        received = await intake.finish()
        once = once and once.of(received.fingerprint, body.content_type)
        async with context.db.begin() as tx:
            await guard.lock_owner(tx, session.owner_id if session else actor_id)
            await idempotency.claim_key(tx, once)
            content = await direct_session.record_content(tx, session, received)
            node = await _lock_file(tx, actor_id, node_id, wanted)
            placement = put.Placement(
                destination_id=None,
                target=FileTarget(node.id, node.folder_id, node.name),
                base_revision_id=wanted.base_revision_id,
                content_type=body.content_type,
                client_modified_at=wanted.client_modified_at,
                executable=wanted.executable,
                author_id=actor_id,
                content=content,
            )
            file = await direct_session.place_content(tx, actor_id, node.owner_id, placement)
            if body.content_type not in {None, file.content_type}:  # the file has this very content already
                await heads.set_content_type(tx, node, body.content_type)
                file = await views.get_file(tx, actor_id, node_id)
            if name is not None:
                edit = TreeEdit(tx, actor_id, node.owner_id)
                named = await edit.get_node(node_id, "editor")
                await tree.rename_or_move(edit, named, Target(named.folder_id, name, wanted.on_conflict))
                file = await edit.view(node_id)
            await idempotency.keep_answer(tx, once, 200, file)
        await failpoint("uploads.stream.after_t2")
    return file


async def _lock_file(tx: Tx, actor_id: uuid.UUID, node_id: uuid.UUID, wanted: NewContent) -> LockedNode:
    """Lock the owner of a file that the actor may edit; return the file.

    Raises NotFound, Forbidden, PreconditionFailed, InvalidRequest, NotAFile, ParentGone.
    Transaction: joins tx.
    """
    if wanted.base_revision_id is None:
        node = await guard.lock_node(tx, actor_id, node_id, "editor")
    else:
        node = await guard.lock_editable_file(tx, actor_id, node_id)
    guard.require_match(node, wanted.if_match)
    guard.require_no_match(node, wanted.if_none_match)
    if node.kind != "file":
        raise problems.NotAFile
    return node
