"""Revisions: a replacement keeps the replaced revision. Restoring one makes a new revision of the same content."""

import uuid
from typing import Any

from sqlalchemy import BigInteger, Select, literal, select, update

from dropbox_api import access, problems
from dropbox_api.context import Context
from dropbox_api.db import Tx
from dropbox_api.files import guard, put, views
from dropbox_api.files.paths import FileTarget
from dropbox_api.files.schemas import File, RevisionList, UpdateRevision
from dropbox_api.files.schemas import Revision as RevisionView
from dropbox_api.models import Blob, Node, Revision, User
from dropbox_api.plumbing import audit, idempotency, page_cursors
from dropbox_api.plumbing.idempotency import Once

_REVISIONS = (
    select(
        Revision.id,
        Revision.number,
        (Revision.id == Node.head_revision_id).label("is_head"),
        Revision.pinned,
        Revision.size_bytes,
        Revision.content_type,
        Revision.client_modified_at,
        Revision.processing_state,
        Revision.processing_detail,
        Revision.processing_at,
        Revision.created_at,
        Blob.fingerprint,
        Blob.content_status,
        User.email,
        User.display_name,
    )
    .join(Node, Node.id == Revision.node_id)
    .join(Blob, Blob.id == Revision.blob_id)
    .join(User, User.id == Revision.author_id)
)


async def _read_revisions(tx: Tx, page: Select[*tuple[Any, ...]]) -> list[RevisionView]:
    return [
        RevisionView(
            id=row.id,
            number=row.number,
            is_head=row.is_head,
            pinned=row.pinned,
            size_bytes=row.size_bytes,
            fingerprint=row.fingerprint.hex(),
            content_type=row.content_type,
            content_status=row.content_status,
            author=row.email,
            author_name=row.display_name,
            client_modified_at=row.client_modified_at,
            created_at=row.created_at,
            processing=views.build_processing(row.processing_state, row.processing_detail, row.processing_at),
        )
        for row in await tx.execute(page)
    ]


async def list_revisions(context: Context, node_id: uuid.UUID, *, limit: int, cursor: str | None) -> RevisionList:
    """Return a page of a file's revisions, newest first. Raises NotFound, NotAFile, InvalidCursor."""
    page = _REVISIONS.where(Revision.node_id == node_id)
    if cursor:
        (before,) = page_cursors.decode_key("revisions", cursor, int)
        page = page.where(Revision.number < literal(before, BigInteger))
    async with context.db.read() as tx:
        if (await access.require_role(tx, context.actor_id, node_id)).kind != "file":
            raise problems.NotAFile
        found = await _read_revisions(tx, page.order_by(Revision.number.desc()).limit(limit + 1))
    more = page_cursors.encode_cursor("revisions", found[limit - 1].number) if len(found) > limit else None
    return RevisionList(items=found[:limit], next_cursor=more)


async def pin_revision(
    context: Context, node_id: uuid.UUID, revision_id: uuid.UUID, wanted: UpdateRevision
) -> RevisionView:
    """Pin a revision, so that no job removes it, or unpin it; return it.

    Raises NotFound (file or revision), Forbidden, NotAFile.
    Transaction: one, under the owner's lock. Idempotent.
    """
    async with context.db.begin() as tx:
        node = await guard.lock_node(tx, context.actor_id, node_id, "editor")
        if node.kind != "file":
            raise problems.NotAFile
        own = (Revision.id == revision_id, Revision.node_id == node_id)
        changed = update(Revision).where(*own, Revision.pinned != wanted.pinned).values(pinned=wanted.pinned)
        if (await tx.execute(changed)).rowcount:
            action: audit.Action = "revision-pinned" if wanted.pinned else "revision-unpinned"
            await audit.record(tx, node.owner_id, [audit.Entry(action, node_id, {"revision_id": str(revision_id)})])
        found = await _read_revisions(tx, _REVISIONS.where(*own))
    if not found:
        raise problems.NotFound("The file has no such revision")
    return found[0]


async def restore_revision(
    context: Context,
    node_id: uuid.UUID,
    revision_id: uuid.UUID,
    *,
    if_match: str | None,
    once: Once | None,
) -> File:
    """Make an older revision's content the head again, as a new revision; return the file.

    Raises NotFound (file or revision), NotAFile, PreconditionFailed, IdempotencyMismatch.
    Transaction: one, under the owner's lock. Idempotent: restoring the head changes nothing.
    """
    async with context.db.begin() as tx:
        node = await guard.lock_node(tx, context.actor_id, node_id, "editor")
        await idempotency.claim_key(tx, once)
        guard.require_match(node, if_match)
        if node.kind != "file":
            raise problems.NotAFile
        mine = select(Revision.id).where(Revision.id == revision_id, Revision.node_id == node_id)
        if (await tx.execute(mine)).scalar_one_or_none() is None:
            raise problems.NotFound("The file has no such revision")
        if revision_id != node.head_revision_id:
            target = FileTarget(node.id, node.folder_id, node.name)
            again = await put.load_placements(tx, [(revision_id, target)], author_id=context.actor_id)
            (placed,) = await put.put_files(tx, node.owner_id, again)
            if isinstance(placed, problems.Problem):
                raise placed
            act = audit.Entry("revision-restored", node_id, {"revision_id": str(revision_id)})
            await audit.record(tx, node.owner_id, [act])
        file = await views.get_file(tx, context.actor_id, node_id)
        await idempotency.keep_answer(tx, once, 200, file)
    return file
