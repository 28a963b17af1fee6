"""Grants: with whom a file or folder is shared. Who they make somebody to a node, `access` decides.

A grant names an address, or an account. To an account that has proven its address, and to a service account, it is
active at once. To any other address it waits: whoever proves to own the address has it then (`accept`), and until then
it looks the same whether there is an account or not. Named by its id, an account needs no address to be proven.
"""

import uuid
from typing import Any

from sqlalchemy import delete, func, insert, or_, select, text, update

from dropbox_api import access, problems
from dropbox_api.db import Db, Tx, new_id, use_snapshot
from dropbox_api.events import journal
from dropbox_api.files import guard, views
from dropbox_api.files.schemas import FileList
from dropbox_api.models import Grant, Link, Node, User
from dropbox_api.plumbing import audit, idempotency, page_cursors
from dropbox_api.plumbing.idempotency import Once
from dropbox_api.sharing import schemas
from dropbox_api.uploads import abort

_PROVEN = or_(User.email_verified_at.is_not(None), User.kind == "service")


async def share(
    db: Db, actor_id: uuid.UUID, node_id: uuid.UUID, wanted: schemas.CreateGrant, once: Once | None
) -> tuple[schemas.Grant, bool]:
    """Share a node, or change the role of whom it is shared with; return the grant, and whether it is new.

    Raises NotFound (node, or `user_id`), Forbidden, RootFolder, CannotShareWith, IdempotencyMismatch, Replayed.
    Transaction: one, under the owner's lock.
    """
    async with db.begin() as tx:
        node = await guard.lock_for_change(tx, actor_id, node_id, once=once, role="owner")
        if node.parent_id is None:
            raise problems.RootFolder("The root folder cannot be shared: share folders in it")
        email, grantee_id = await _find_grantee(tx, wanted)
        owner_email = (await tx.execute(select(User.email).where(User.id == actor_id))).scalar_one()
        if grantee_id == actor_id or email == owner_email:
            raise problems.CannotShareWith("It is yours already", reason="yourself")
        theirs = Grant.email == email
        if grantee_id is not None:
            theirs = or_(theirs, Grant.grantee_id == grantee_id)
        known = select(*Grant.__table__.c).where(Grant.node_id == node_id, theirs)
        row = (await tx.execute(known.order_by(Grant.grantee_id.nulls_last()).limit(1))).one_or_none()
        if row is None:
            grant = await _make(tx, actor_id, node_id, {"email": email, "grantee_id": grantee_id, "role": wanted.role})
        else:
            grant = await _set(tx, row, {"role": wanted.role, "grantee_id": row.grantee_id or grantee_id})
        await idempotency.keep_answer(tx, once, 200 if row else 201, grant)
    return grant, row is None


async def _find_grantee(tx: Tx, wanted: schemas.CreateGrant) -> tuple[str, uuid.UUID | None]:
    """Return the address, and the account if it gets the grant at once. Raises NotFound (`user_id`).

    An account that was named by its id has that for an address: whoever knows the one need not learn the other.
    """
    if wanted.email is not None:
        proven = select(User.id).where(User.email == wanted.email, _PROVEN)
        return wanted.email, (await tx.execute(proven)).scalar_one_or_none()
    account_id = (await tx.execute(select(User.id).where(User.id == wanted.user_id))).scalar_one_or_none()
    if account_id is None:
        raise problems.NotFound("There is no such account")
    return str(account_id), account_id


async def _make(tx: Tx, owner_id: uuid.UUID, node_id: uuid.UUID, values: dict[str, Any]) -> schemas.Grant:
    row = {"id": new_id(), "owner_id": owner_id, "node_id": node_id, "created_by": owner_id} | values
    made = (await tx.execute(insert(Grant).values(row).returning(*Grant.__table__.c))).one()
    await audit.record(tx, owner_id, [audit.Entry("shared", node_id, {"with": made.email, "role": made.role})])
    await _announce(tx, "share.granted", made)
    return _view(made, node_id)


async def _set(tx: Tx, row: Any, values: dict[str, Any]) -> schemas.Grant:
    """Change a grant, unless it is so already; return it."""
    if any(getattr(row, name) != value for name, value in values.items()):
        changed = update(Grant).where(Grant.id == row.id).values(**values).returning(*Grant.__table__.c)
        was, row = row, (await tx.execute(changed)).one()
        if was.role != row.role:
            act = audit.Entry("role-changed", row.node_id, {"of": row.email, "from": was.role, "to": row.role})
            await audit.record(tx, row.owner_id, [act])
            if row.role != "editor" and row.grantee_id:
                await abort.abort_without_destination(tx, row.owner_id, row.grantee_id)
        await _announce(tx, "share.changed" if was.grantee_id == row.grantee_id else "share.granted", row)
    return _view(row, row.node_id)


async def _announce(tx: Tx, kind: journal.EventKind, row: Any) -> None:
    user_id = str(row.grantee_id) if row.grantee_id else None
    payload = {"grant_id": str(row.id), "user_id": user_id, "email": row.email, "role": row.role}
    told = frozenset([row.grantee_id] if row.grantee_id else [])
    await journal.append_changes(tx, row.owner_id, [journal.Change(kind, row.node_id, payload, told)])


def _view(row: Any, node_id: uuid.UUID) -> schemas.Grant:
    return schemas.Grant(
        id=row.id,
        node_id=row.node_id,
        inherited=row.node_id != node_id,
        email=None if row.email == str(row.grantee_id) else row.email,
        user_id=row.grantee_id,
        role=row.role,
        pending=row.grantee_id is None,
        created_at=row.created_at,
    )


async def change_role(
    db: Db, actor_id: uuid.UUID, node_id: uuid.UUID, grant_id: uuid.UUID, role: schemas.GrantedRole
) -> schemas.Grant:
    """Give somebody another role; return the grant. Raises NotFound, Forbidden (it is not the owner who asks).

    Transaction: one, under the owner's lock.
    """
    async with db.begin() as tx:
        row = await _locked(tx, actor_id, node_id, grant_id)
        if row.owner_id != actor_id:
            raise problems.Forbidden(role=row.role, needs="owner")
        return await _set(tx, row, {"role": role})


async def revoke(db: Db, actor_id: uuid.UUID, node_id: uuid.UUID, grant_id: uuid.UUID) -> None:
    """Take a grant back, as the owner, or leave, as the one who has it. It ends at once. Raises NotFound.

    Transaction: one, under the owner's lock.
    """
    async with db.begin() as tx:
        row = await _locked(tx, actor_id, node_id, grant_id)
        await _end(tx, row)


async def _end(tx: Tx, row: Any) -> None:
    await tx.execute(delete(Grant).where(Grant.id == row.id))
    act = audit.Entry("unshared", row.node_id, {"with": row.email, "role": row.role})
    await audit.record(tx, row.owner_id, [act])
    if row.grantee_id:
        await abort.abort_without_destination(tx, row.owner_id, row.grantee_id)
    await _announce(tx, "share.revoked", row)


async def end_all(tx: Tx, owner_id: uuid.UUID) -> None:
    """Take back every grant and link of an owner. Transaction: joins tx, which holds the owner's lock."""
    for row in (await tx.execute(select(*Grant.__table__.c).where(Grant.owner_id == owner_id))).all():
        await _end(tx, row)
    standing = (Link.owner_id == owner_id, Link.revoked_at.is_(None))
    await tx.execute(update(Link).where(*standing).values(revoked_at=func.now()))


async def leave(db: Db, actor_id: uuid.UUID, node_id: uuid.UUID) -> None:
    """Give up what this very node's grant lets the actor do. Raises NotFound.

    Transaction: a read, and then as `revoke`.
    """
    theirs = select(Grant.id).where(Grant.node_id == node_id, Grant.grantee_id == actor_id)
    async with db.read() as tx:
        grant_id = (await tx.execute(theirs)).scalar_one_or_none()
    if grant_id is None:
        raise problems.NotFound
    await revoke(db, actor_id, node_id, grant_id)


async def _locked(tx: Tx, actor_id: uuid.UUID, node_id: uuid.UUID, grant_id: uuid.UUID) -> Any:
    """Lock the owner of a grant that the actor gave or has; return its row. Raises NotFound.

    Not by way of the node: a share that lies in the trash can be ended, too.
    """
    mine = or_(Grant.owner_id == actor_id, Grant.grantee_id == actor_id)
    found = select(*Grant.__table__.c).where(Grant.id == grant_id, Grant.node_id == node_id, mine)
    row = (await tx.execute(found)).one_or_none()
    if row is not None:
        await guard.lock_owner(tx, row.owner_id)
        row = (await tx.execute(found)).one_or_none()
    if row is None:
        raise problems.NotFound
    return row


_CHAIN = text(f"WITH RECURSIVE {access.ancestors_cte('nodes WHERE id = :node_id')} SELECT id FROM ancestors")


async def list_grants(
    db: Db, actor_id: uuid.UUID, node_id: uuid.UUID, *, limit: int, cursor: str | None
) -> schemas.GrantList:
    """Return to its owner a page of the grants on a node and on the folders above it, newest first.

    Raises NotFound, Forbidden, InvalidCursor.
    """
    async with db.read() as tx:
        await access.require(tx, actor_id, node_id, "owner")
        chain = (await tx.execute(_CHAIN, {"node_id": node_id})).scalars().all()
        page = select(*Grant.__table__.c).where(Grant.node_id.in_(chain))
        if cursor:
            page = page.where(Grant.id < page_cursors.decode_id("grants", cursor))
        rows = (await tx.execute(page.order_by(Grant.id.desc()).limit(limit + 1))).all()
    more = page_cursors.encode_cursor("grants", rows[limit - 1].id) if len(rows) > limit else None
    return schemas.GrantList(items=[_view(row, node_id) for row in rows[:limit]], next_cursor=more)


async def shared_with(db: Db, actor_id: uuid.UUID, *, limit: int, cursor: str | None) -> FileList:
    """Return a page of what was granted to the actor itself, the newest grant first; nothing of it is in the trash.

    Grants that waited for the actor's address are accepted on the way. Raises InvalidCursor.
    """
    before = page_cursors.decode_id("shared with me", cursor) if cursor else None
    await accept(db, actor_id)
    granted = (
        views.select_files()
        .add_columns(Grant.id.label("grant_id"))
        .join(Grant, Grant.node_id == Node.id)
        .where(Grant.grantee_id == actor_id, Node.trashed_at.is_(None))
    )
    if before:
        granted = granted.where(Grant.id < before)
    async with db.begin() as tx:
        await use_snapshot(tx)
        rows = await views.read_live(tx, granted.order_by(Grant.id.desc()), limit + 1)
        items = await views.build_files(tx, actor_id, rows[:limit])
    more = page_cursors.encode_cursor("shared with me", rows[limit - 1].grant_id) if len(rows) > limit else None
    return FileList(items=items, next_cursor=more)


async def accept(db: Db, user_id: uuid.UUID) -> int:
    """Let an account that has proven its address have what waits for it; return how many grants that were.

    Transaction: a read where nothing waits; else one, under the locks of all owners concerned.
    """
    has = select(Grant.node_id).where(Grant.grantee_id == user_id)
    waiting = (
        select(*Grant.__table__.c)
        .join(User, User.email == Grant.email)
        .where(User.id == user_id, _PROVEN, Grant.grantee_id.is_(None), Grant.node_id.not_in(has))
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
        for row in rows:
            await _set(tx, row, {"grantee_id": user_id})
        return len(rows)
