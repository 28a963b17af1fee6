"""Job `delete-accounts`: purge the accounts whose time of grace is over.

The row of the account comes first: `purge_started_at` ends every way back. Then its tree goes in batches through the
purge of the trash (job `purge`), which leaves tombstones and unreferenced content. At last the row itself becomes the
tombstone "Deleted account", so what others reference stays valid. Each step may be repeated.
"""

import uuid
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import TextClause, delete, func, select, text, update

from dropbox_api.accounts import personal_tokens, sessions
from dropbox_api.context import Services
from dropbox_api.db import Tx
from dropbox_api.deletion.request import end_work_elsewhere
from dropbox_api.files import guard, paths, trash
from dropbox_api.models import Base, Blob, Copy, Link, Node, Upload, User
from dropbox_api.plumbing.failpoints import failpoint
from dropbox_api.settings import Settings
from dropbox_api.sharing import grants
from dropbox_api.uploads.sessions import IS_LIVE
from dropbox_api.workers import batches
from dropbox_api.workers.reports import Report

ACCOUNTS_PER_RUN = 20
DELETED_NAME = "Deleted account"


async def delete_accounts(services: Services) -> Report:
    """Start the purge of accounts that are due, and go on with those that have started."""
    async with services.db.read() as tx:
        in_grace = select(User.id).where(User.purge_at.is_not(None), User.deleted_at.is_(None)).order_by(User.purge_at)
        working = in_grace.where(
            User.id.in_(select(Upload.uploader_id).where(IS_LIVE)) | User.id.in_(select(Copy.actor_id).where(_RUNNING))
        )
        is_due = (User.purge_at < func.now()) | User.purge_started_at.is_not(None)
        busy_ids = (await tx.execute(working.limit(ACCOUNTS_PER_RUN))).scalars().all()
        due_ids = (await tx.execute(in_grace.where(is_due).limit(ACCOUNTS_PER_RUN))).scalars().all()
    for user_id in busy_ids:
        await end_work_elsewhere(services, user_id)
    done = 0
    for user_id in due_ids:
        if await _start(services, user_id):
            done += await _purge(services, user_id)
    return Report(len(due_ids), done)


_RUNNING = Copy.state == "running"


async def _start(services: Services, user_id: uuid.UUID) -> bool:
    """Record that the purge has begun; return False for an account that was restored meanwhile."""
    async with services.db.begin() as tx:
        is_due = (User.id == user_id, User.purge_at < func.now())
        started = {"purge_started_at": func.coalesce(User.purge_started_at, func.now()), "disabled_at": func.now()}
        if (await tx.execute(update(User).where(*is_due).values(started))).rowcount == 0:
            return False
        await sessions.end_sessions(tx, user_id)
        await personal_tokens.revoke_tokens(tx, user_id)
    await failpoint("workers.delete_accounts.after_start")
    return True


async def _purge(services: Services, user_id: uuid.UUID) -> int:
    """Return how much was purged: 0 while other jobs still work on the rest."""
    done = await grants.revoke_received(services.db, user_id)
    while batch := await _purge_nodes(services, user_id):
        done += batch
        await failpoint("workers.delete_accounts.after_batch")
    async with services.db.begin() as tx:
        await guard.lock_owner(tx, user_id)
        await _release_content(tx, user_id, services.settings)
        left = (await tx.execute(_LEFT, {"user_id": user_id})).scalar_one()
    if left:
        return done
    for statement in _HISTORY:
        while deleted := await _delete_rows(services, statement, user_id):
            done += deleted
    async with services.db.begin() as tx:
        await guard.lock_owner(tx, user_id)
        if not (await tx.execute(_LEFT, {"user_id": user_id})).scalar_one():
            await _make_tombstone(tx, user_id)
            done += 1
    return done


async def _purge_nodes(services: Services, user_id: uuid.UUID) -> int:
    """Mark a batch of the items in the root folder as purged; return their number."""
    async with services.db.begin() as tx:
        await guard.lock_owner(tx, user_id)
        root_id = await paths.get_root_id(tx, user_id)
        children = select(Node.id).where(Node.parent_id == root_id, Node.purged_at.is_(None))
        node_ids: Sequence[uuid.UUID] = (await tx.execute(children.limit(batches.ROWS_PER_TRANSACTION))).scalars().all()
        if node_ids:
            trashed = (
                update(Node).where(Node.id.in_(node_ids)).values(trashed_at=func.coalesce(Node.trashed_at, func.now()))
            )
            await tx.execute(trashed)
            await trash.mark_purged(tx, user_id, node_ids)
    return len(node_ids)


async def _release_content(tx: Tx, user_id: uuid.UUID, settings: Settings) -> None:
    """Let job `collect` take content without a revision in its next run. Transaction: joins tx."""
    long_ago = func.now() - timedelta(seconds=settings.uploads.unplaced_ttl_s)
    unplaced = update(Blob).where(Blob.owner_id == user_id, Blob.unreferenced_at > long_ago)
    await tx.execute(unplaced.values(unreferenced_at=long_ago))


_LEFT = text("""
    SELECT used_nodes > 0 OR used_bytes > 0 OR reserved_bytes > 0
        OR EXISTS (SELECT FROM outbox WHERE aggregateid = :user_id AND parked_at IS NULL)
    FROM users WHERE id = :user_id
""")
"""Whether other jobs still work on the account: `purge`, `collect`, `discard`, `relay`."""

_HISTORY = (
    text("""
        DELETE FROM events WHERE recipient_id = :user_id AND seq IN (
            SELECT seq FROM events WHERE recipient_id = :user_id ORDER BY seq LIMIT :limit)
    """),
    text("""
        DELETE FROM audit_log WHERE id IN (SELECT id FROM audit_log WHERE owner_id = :user_id LIMIT :limit)
    """),
)
"""The journal and the audit trail of the account's own tree."""


async def _delete_rows(services: Services, statement: TextClause, user_id: uuid.UUID) -> int:
    async with services.db.begin() as tx:
        bound = {"user_id": user_id, "limit": batches.ROWS_PER_TRANSACTION}
        return (await tx.execute(statement, bound)).rowcount


async def _make_tombstone(tx: Tx, user_id: uuid.UUID) -> None:
    """Delete everything that belongs to the account but its row, which keeps the id. Transaction: joins tx."""
    for table in Base.metadata.sorted_tables:
        column = table.c.get("user_id")
        if column is not None and any(key.column.table.name == "users" for key in column.foreign_keys):
            await tx.execute(delete(table).where(column == user_id))
    await tx.execute(delete(Link).where(Link.owner_id == user_id))
    await tx.execute(delete(Copy).where((Copy.actor_id == user_id) | (Copy.owner_id == user_id)))
    nothing = {
        "email": f"deleted-{user_id}",
        "display_name": DELETED_NAME,
        "is_admin": False,
        "password_hash": None,
        "password_changed_at": None,
        "email_verified_at": None,
        "totp_secret": None,
        "totp_enabled_at": None,
        "quota_bytes": 0,
        "deleted_at": func.now(),
    }
    await tx.execute(update(User).where(User.id == user_id).values(nothing))
