"""Grants: the users with whom a file or folder is shared. `access` decides what a grant allows.

A grant names an address or an account. It is active at once for an account that has verified its address, and for a
service account. For any other address it waits until an account verifies it (`accept_grants`); until then the answer is
the same whether the address has an account or not. An account that is named by its id needs no verified address.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Text, cast, delete, exists, func, insert, or_, select, text, update

from dropbox_api import access, problems
from dropbox_api.accounts import actors
from dropbox_api.context import Context
from dropbox_api.db import Db, Tx, new_id, use_snapshot
from dropbox_api.events import journal
from dropbox_api.files import guard, views
from dropbox_api.files.schemas import FileList
from dropbox_api.models import Grant, Link, Node, User
from dropbox_api.plumbing import audit, idempotency, page_cursors
from dropbox_api.plumbing.idempotency import Once
from dropbox_api.sharing import schemas
from dropbox_api.uploads.abort import abort_without_destination

_IS_VERIFIED = or_(User.email_verified_at.is_not(None), User.kind == "service")

_COLUMNS = (
    Grant.id,
    Grant.owner_id,
    Grant.node_id,
    Grant.email,
    Grant.grantee_id,
    Grant.role,
    Grant.created_at,
)


@dataclass(frozen=True, slots=True)
class GrantRow:
    """The `_COLUMNS` of one grant."""

    id: uuid.UUID
    owner_id: uuid.UUID
    node_id: uuid.UUID
    email: str
    """The invited address; the text of the account's id for an account that was named by its id."""
    grantee_id: uuid.UUID | None
    """None while the grant waits."""
    role: schemas.GrantedRole
    created_at: datetime


async def create_grant(
    context: Context, node_id: uuid.UUID, wanted: schemas.CreateGrant, once: Once | None
) -> tuple[schemas.Grant, bool]:
    """Share a node, or change the role of an existing grant; return the grant, and whether it is new.

    Raises NotFound (node, or `user_id`), Forbidden, RootFolder, CannotShareWith, IdempotencyMismatch, Replayed.
    Transaction: one, under the owner's lock.
    """
    owner_id = context.actor_id
    async with context.db.begin() as tx:
        node = await guard.lock_node(tx, owner_id, node_id, "owner")
        await actors.require_unended(tx, context.actor)
        await idempotency.claim_key(tx, once)
        if node.parent_id is None:
            raise problems.RootFolder("The root folder cannot be shared: share folders in it")
        email, grantee_id = await _find_grantee(tx, wanted)
        owner_email = (await tx.execute(select(User.email).where(User.id == owner_id))).scalar_one()
        if grantee_id == owner_id or email == owner_email:
            raise problems.CannotShareWith("You own the file already", reason="yourself")
        await _release_address(tx, node_id, email)
        is_same_grantee = Grant.email == email
        if grantee_id is not None:
            is_same_grantee = or_(is_same_grantee, Grant.grantee_id == grantee_id)
        query = select(*_COLUMNS).where(Grant.node_id == node_id, is_same_grantee)
        row = (await tx.execute(query.order_by(Grant.grantee_id.nulls_last()).limit(1))).one_or_none()
        if row is None:
            grant = await _insert_grant(tx, owner_id, node_id, email, grantee_id, wanted.role)
        else:
            existing = GrantRow(**row._asdict())
            grant = await _update_grant(tx, existing, wanted.role, existing.grantee_id or grantee_id)
        answer = await _show_grant(tx, grant, node_id)
        await idempotency.keep_answer(tx, once, 200 if row else 201, answer)
    return answer, row is None


async def _find_grantee(tx: Tx, wanted: schemas.CreateGrant) -> tuple[str, uuid.UUID | None]:
    """Return the address, and the account if the grant is active at once. Raises NotFound (`user_id`).

    A grant to the address of an account whose purge has begun waits: the address is free afterwards.
    For an account that was named by its id the address is the id: the owner does not get to know the real one.
    """
    if wanted.email is not None:
        verified = select(User.id).where(User.email == wanted.email, _IS_VERIFIED, User.purge_started_at.is_(None))
        return wanted.email, (await tx.execute(verified)).scalar_one_or_none()
    account = select(User.id).where(User.id == wanted.user_id, User.purge_started_at.is_(None))
    account_id = (await tx.execute(account)).scalar_one_or_none()
    if account_id is None:
        raise problems.NotFound("There is no account with this user_id")
    return str(account_id), account_id


async def _release_address(tx: Tx, node_id: uuid.UUID, email: str) -> None:
    """Let a grant to an account that has given this address up name the account by its id.

    The address means its reader, who may be another one by now. Transaction: joins tx, which holds the owner's lock.
    """
    has_it = exists().where(User.id == Grant.grantee_id, User.email == email)
    given_up = (Grant.node_id == node_id, Grant.email == email, Grant.grantee_id.is_not(None), ~has_it)
    await tx.execute(update(Grant).where(*given_up).values(email=cast(Grant.grantee_id, Text)))


async def _insert_grant(
    tx: Tx,
    owner_id: uuid.UUID,
    node_id: uuid.UUID,
    email: str,
    grantee_id: uuid.UUID | None,
    role: schemas.GrantedRole,
) -> GrantRow:
    values = {
        "id": new_id(),
        "owner_id": owner_id,
        "node_id": node_id,
        "created_by": owner_id,
        "email": email,
        "grantee_id": grantee_id,
        "role": role,
    }
    grant = GrantRow(**(await tx.execute(insert(Grant).values(values).returning(*_COLUMNS))).one()._asdict())
    await audit.record(tx, owner_id, [audit.Entry("shared", node_id, {"with": email, "role": role})])
    await _announce(tx, "share.granted", grant)
    return grant


async def _update_grant(tx: Tx, before: GrantRow, role: schemas.GrantedRole, grantee_id: uuid.UUID | None) -> GrantRow:
    """Set role and grantee and return the grant; no effect if both are set already."""
    if (before.role, before.grantee_id) == (role, grantee_id):
        return before
    changed = update(Grant).where(Grant.id == before.id).values(role=role, grantee_id=grantee_id)
    grant = GrantRow(**(await tx.execute(changed.returning(*_COLUMNS))).one()._asdict())
    if grant.role != before.role:
        detail = {"of": grant.email, "from": before.role, "to": grant.role}
        await audit.record(tx, grant.owner_id, [audit.Entry("role-changed", grant.node_id, detail)])
        if grant.role != "editor" and grant.grantee_id:
            await abort_without_destination(tx, grant.owner_id, grant.grantee_id)
    await _announce(tx, "share.changed" if before.grantee_id == grant.grantee_id else "share.granted", grant)
    return grant


async def _announce(tx: Tx, kind: journal.EventKind, grant: GrantRow) -> None:
    user_id = str(grant.grantee_id) if grant.grantee_id else None
    payload = {"grant_id": str(grant.id), "user_id": user_id, "email": grant.email, "role": grant.role}
    others = frozenset([grant.grantee_id] if grant.grantee_id else [])
    await journal.append_changes(tx, grant.owner_id, [journal.Change(kind, grant.node_id, payload, others)])


async def _show_grants(tx: Tx, grants: Sequence[GrantRow], node_id: uuid.UUID) -> list[schemas.Grant]:
    """Return grants as the list of this node shows them, with addresses and names of their accounts."""
    accounts = select(User.id, User.email, User.display_name).where(User.id.in_({one.grantee_id for one in grants}))
    people = {row.id: (row.email, row.display_name) for row in await tx.execute(accounts)}
    return [_view(one, node_id, *people.get(one.grantee_id, (one.email, None))) for one in grants]


async def _show_grant(tx: Tx, grant: GrantRow, node_id: uuid.UUID) -> schemas.Grant:
    (shown,) = await _show_grants(tx, [grant], node_id)
    return shown


def _view(grant: GrantRow, node_id: uuid.UUID, email: str, display_name: str | None) -> schemas.Grant:
    """Return a grant with address and name of its account now; neither for an account that was named by its id."""
    is_by_id = grant.email == str(grant.grantee_id)
    return schemas.Grant(
        id=grant.id,
        node_id=grant.node_id,
        inherited=grant.node_id != node_id,
        email=None if is_by_id else email,
        user_id=grant.grantee_id,
        display_name=None if is_by_id else display_name,
        role=grant.role,
        pending=grant.grantee_id is None,
        created_at=grant.created_at,
    )


async def change_grant(
    context: Context, node_id: uuid.UUID, grant_id: uuid.UUID, role: schemas.GrantedRole
) -> schemas.Grant:
    """Set the role of a grant; return it. Raises NotFound, Forbidden (the caller has the grant and is not the owner).

    Transaction: one, under the owner's lock.
    """
    async with context.db.begin() as tx:
        grant = await _lock_grant(tx, context.actor_id, node_id, grant_id)
        if grant.owner_id != context.actor_id:
            raise problems.Forbidden(role=grant.role, needs="owner")
        return await _show_grant(tx, await _update_grant(tx, grant, role, grant.grantee_id), node_id)


async def revoke_grant(context: Context, node_id: uuid.UUID, grant_id: uuid.UUID) -> None:
    """End a grant at once, as the owner or as its grantee. Raises NotFound.

    Transaction: one, under the owner's lock.
    """
    async with context.db.begin() as tx:
        await _delete_grant(tx, await _lock_grant(tx, context.actor_id, node_id, grant_id))


async def leave_share(context: Context, node_id: uuid.UUID) -> None:
    """End the caller's own grant on this node; grants on folders above it stay. Raises NotFound.

    Transaction: a read, and then as `revoke_grant`.
    """
    own = select(Grant.id).where(Grant.node_id == node_id, Grant.grantee_id == context.actor_id)
    async with context.db.read() as tx:
        grant_id = (await tx.execute(own)).scalar_one_or_none()
    if grant_id is None:
        raise problems.NotFound
    await revoke_grant(context, node_id, grant_id)


async def revoke_grants(tx: Tx, owner_id: uuid.UUID, since: datetime | None = None) -> None:
    """Revoke every grant of an owner, or those made since then. Transaction: joins tx, which holds the owner's lock."""
    made = select(*_COLUMNS).where(Grant.owner_id == owner_id)
    if since is not None:
        made = made.where(Grant.created_at >= since)
    for row in (await tx.execute(made)).all():
        await _delete_grant(tx, GrantRow(**row._asdict()))


async def revoke_received(db: Db, user_id: uuid.UUID) -> int:
    """End every grant of which an account is the grantee; return their number.

    Transaction: one for each owner, under the owner's lock.
    """
    received = select(*_COLUMNS).where(Grant.grantee_id == user_id)
    async with db.read() as tx:
        owner_ids = {row.owner_id for row in await tx.execute(received)}
    done = 0
    for owner_id in sorted(owner_ids):
        async with db.begin() as tx:
            await guard.lock_owner(tx, owner_id)
            for row in (await tx.execute(received.where(Grant.owner_id == owner_id))).all():
                await _delete_grant(tx, GrantRow(**row._asdict()))
                done += 1
    return done


async def revoke_all(tx: Tx, owner_id: uuid.UUID, since: datetime | None) -> None:
    """Revoke every grant and link of an owner, or those made since then.

    Transaction: joins tx, which holds the owner's lock.
    """
    await revoke_grants(tx, owner_id, since)
    revoked = update(Link).where(Link.owner_id == owner_id, Link.revoked_at.is_(None)).values(revoked_at=func.now())
    if since is not None:
        revoked = revoked.where(Link.created_at >= since)
    await tx.execute(revoked)


async def _delete_grant(tx: Tx, grant: GrantRow) -> None:
    await tx.execute(delete(Grant).where(Grant.id == grant.id))
    entry = audit.Entry("unshared", grant.node_id, {"with": grant.email, "role": grant.role})
    await audit.record(tx, grant.owner_id, [entry])
    if grant.grantee_id:
        await abort_without_destination(tx, grant.owner_id, grant.grantee_id)
    await _announce(tx, "share.revoked", grant)


async def _lock_grant(tx: Tx, actor_id: uuid.UUID, node_id: uuid.UUID, grant_id: uuid.UUID) -> GrantRow:
    """Lock the owner of a grant that the actor made or has; return the grant. Raises NotFound.

    This does not go through the node, because a grant on a trashed node can be ended too.
    """
    is_party = or_(Grant.owner_id == actor_id, Grant.grantee_id == actor_id)
    query = select(*_COLUMNS).where(Grant.id == grant_id, Grant.node_id == node_id, is_party)
    row = (await tx.execute(query)).one_or_none()
    if row is not None:
        await guard.lock_owner(tx, row.owner_id)
        row = (await tx.execute(query)).one_or_none()
    if row is None:
        raise problems.NotFound
    return GrantRow(**row._asdict())


_CHAIN = text(f"WITH RECURSIVE {access.ancestors_cte('nodes WHERE id = :node_id')} SELECT id FROM ancestors")


async def list_grants(context: Context, node_id: uuid.UUID, *, limit: int, cursor: str | None) -> schemas.GrantList:
    """Return to the owner a page of the grants on a node and on the folders above it, newest first.

    Raises NotFound, Forbidden, InvalidCursor.
    """
    async with context.db.read() as tx:
        await access.require_role(tx, context.actor_id, node_id, "owner")
        chain = (await tx.execute(_CHAIN, {"node_id": node_id})).scalars().all()
        page = select(*_COLUMNS).where(Grant.node_id.in_(chain))
        if cursor:
            page = page.where(Grant.id < page_cursors.decode_id("grants", cursor))
        rows = (await tx.execute(page.order_by(Grant.id.desc()).limit(limit + 1))).all()
        items = await _show_grants(tx, [GrantRow(**row._asdict()) for row in rows[:limit]], node_id)
    next_cursor = page_cursors.encode_cursor("grants", items[-1].id) if len(rows) > limit else None
    return schemas.GrantList(items=items, next_cursor=next_cursor)


async def list_shared_with_me(context: Context, *, limit: int, cursor: str | None) -> FileList:
    """Return a page of the live nodes with a grant of the caller, newest grant first.

    Accepts the grants that wait for the caller's address. Raises InvalidCursor.
    """
    before = page_cursors.decode_id("shared with me", cursor) if cursor else None
    await accept_grants(context.db, context.actor_id)
    granted = (
        views.select_files()
        .add_columns(Grant.id.label("grant_id"))
        .join(Grant, Grant.node_id == Node.id)
        .where(Grant.grantee_id == context.actor_id, Node.trashed_at.is_(None))
    )
    if before:
        granted = granted.where(Grant.id < before)
    async with context.db.begin() as tx:
        await use_snapshot(tx)
        rows = await views.read_live(tx, granted.order_by(Grant.id.desc()), limit + 1)
        files = [views.FileRow._make(columns) for *columns, _ in rows[:limit]]
        items = await views.build_files(tx, context.actor_id, files)
    more = len(rows) > limit
    next_cursor = page_cursors.encode_cursor("shared with me", rows[limit - 1].grant_id) if more else None
    return FileList(items=items, next_cursor=next_cursor)


async def accept_grants(db: Db, user_id: uuid.UUID) -> int:
    """Give an account with a verified address the grants that wait for the address; return their number.

    Transaction: a read where none waits; else one, under the locks of their owners in the order of the ids.
    """
    has = select(Grant.node_id).where(Grant.grantee_id == user_id)
    waiting = (
        select(*_COLUMNS)
        .join(User, User.email == Grant.email)
        .where(User.id == user_id, _IS_VERIFIED, Grant.grantee_id.is_(None), Grant.node_id.not_in(has))
        .order_by(Grant.id)
    )
    async with db.read() as tx:
        owners = {row.owner_id for row in await tx.execute(waiting)}
    if not owners:
        return 0
    async with db.begin() as tx:
        for owner_id in sorted(owners):
            await guard.lock_owner(tx, owner_id)
        rows = (await tx.execute(waiting.where(Grant.owner_id.in_(owners)))).all()
        for grant in (GrantRow(**row._asdict()) for row in rows):
            await _update_grant(tx, grant, grant.role, user_id)
        return len(rows)
