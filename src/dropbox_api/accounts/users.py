"""Users as administrators and operators manage them: the `/admin/users` routes, and `dropbox-api users`.

At least one active administrator always remains: the last one can be neither demoted nor disabled. Administration never
touches files: those of a disabled account stay, and administrators have no access to them.
"""

import logging
import uuid

from sqlalchemy import func, or_, select, update

from dropbox_api.accounts import account, personal_tokens, sessions, undo_links
from dropbox_api.accounts.factors import password_rules, second_factor
from dropbox_api.accounts.factors.passwords import Passwords
from dropbox_api.accounts.schemas import CreateUser, ManagedUser, UpdateUser, UserList
from dropbox_api.db import Db, Tx
from dropbox_api.models import User
from dropbox_api.plumbing import page_cursors
from dropbox_api.problems import Forbidden, NotFound
from dropbox_api.settings import AuthSettings

_COLUMNS = (*account.ACCOUNT_COLUMNS, User.disabled_at, User.deleted_at)
"""The columns of `schemas.ManagedUser`."""

log = logging.getLogger(__name__)


async def list_users(db: Db, *, q: str | None, limit: int, cursor: str | None) -> UserList:
    """List users, oldest first; `q` is a part of the address, in any case. Raises InvalidCursor."""
    query = select(*_COLUMNS).order_by(User.id).limit(limit + 1)
    if q:
        query = query.where(User.email.contains(q.lower(), autoescape=True))
    if cursor is not None:
        query = query.where(User.id > page_cursors.decode_id("users", cursor))
    async with db.read() as tx:
        rows = (await tx.execute(query)).all()
    items = [ManagedUser(**row._asdict()) for row in rows[:limit]]
    next_cursor = page_cursors.encode_cursor("users", items[-1].id) if len(rows) > limit else None
    return UserList(items=items, next_cursor=next_cursor)


async def get_user(db: Db, user_id: uuid.UUID) -> ManagedUser:
    """Return a user. Raises NotFound."""
    async with db.read() as tx:
        return await _get_user(tx, user_id)


async def require_user_id(db: Db, email: str) -> uuid.UUID:
    """Return the id of the user with this address (in lower case). Raises NotFound."""
    async with db.read() as tx:
        user_id = await tx.scalar(select(User.id).where(User.email == email))
    if user_id is None:
        raise NotFound(f"There is no user {email}")
    return user_id


async def create_user(db: Db, settings: AuthSettings, passwords: Passwords, new: CreateUser) -> ManagedUser:
    """Create an account, also where registration is closed. Raises WeakPassword, EmailTaken."""
    password_hash = None
    if new.password is not None:
        password_rules.require_strong(new.password.get_secret_value(), new.email)
        password_hash = await passwords.hash(new.password.get_secret_value())
    values = account.NewAccount(new.email, password_hash, new.kind, new.quota_bytes, new.quota_nodes)
    async with db.begin() as tx:
        created = await account.insert_account(tx, settings, values)
    log.info("user %s was created, a %s", created.id, created.kind)
    return ManagedUser(**created.model_dump(), disabled_at=None, deleted_at=None)


async def change_user(db: Db, user_id: uuid.UUID, changes: UpdateUser) -> ManagedUser:
    """Change the given members. Disabling ends every session and token for good; enabling restores none of them.

    A quota below the current use deletes nothing and lets nothing in.
    Raises NotFound; Forbidden for the last administrator, and for a service account as administrator.
    Transaction: one, under the user's lock; a change that removes an administrator locks all of them.
    """
    values = changes.model_dump(exclude_none=True, exclude={"disabled"})
    if changes.disabled is not None:
        values["disabled_at"] = func.coalesce(User.disabled_at, func.now()) if changes.disabled else None
    async with db.begin() as tx:
        await _lock_for_change(tx, user_id, changes)
        if values:
            await tx.execute(update(User).where(User.id == user_id).values(values))
        if changes.disabled:
            await sessions.end_sessions(tx, user_id)
            await personal_tokens.revoke_tokens(tx, user_id)
        user = await _get_user(tx, user_id)
    log.info("user %s was changed: %s", user_id, changes.model_dump(exclude_none=True))
    return user


async def change_address(db: Db, user_id: uuid.UUID, email: str) -> ManagedUser:
    """Give an account another address (in lower case), unconfirmed.

    It is final: open changes end, and so do the undo links of former addresses.
    Raises NotFound, EmailTaken; Forbidden while the account is deleted for good. Transaction: one, under the user's
    lock.
    """
    async with db.begin() as tx:
        await _lock_for_change(tx, user_id, UpdateUser())
        await account.set_address(tx, user_id, email, None)
        await undo_links.void_links(tx, user_id)
        return await _get_user(tx, user_id)


async def remove_second_factor(db: Db, user_id: uuid.UUID) -> None:
    """Remove app, passkeys and recovery codes of a user who lost them; the user's sessions end.

    Idempotent: no effect on the second factor of a user without one.
    """
    async with db.begin() as tx:
        await account.lock_account(tx, user_id)
        await second_factor.clear_factors(tx, user_id)


async def _lock_for_change(tx: Tx, user_id: uuid.UUID, changes: UpdateUser) -> None:
    """Take the user's lock. Raises NotFound; Forbidden when the changes are not allowed."""
    removes = changes.disabled or changes.is_admin is False
    query = select(User.id, User.kind, User.purge_started_at, account.IS_ADMINISTRATOR.label("administers")).order_by(
        User.id
    )
    locked = query.where(or_(User.id == user_id, account.IS_ADMINISTRATOR & bool(removes))).with_for_update(
        key_share=True
    )
    users = {row.id: row for row in (await tx.execute(locked)).all()}
    if user_id not in users:
        raise NotFound
    if users[user_id].purge_started_at is not None:
        raise Forbidden("The account is being deleted for good")
    if removes and {row.id for row in users.values() if row.administers} == {user_id}:
        raise Forbidden("This is the last administrator: make another one first")
    if changes.is_admin and users[user_id].kind == "service":
        raise Forbidden("A service account cannot be an administrator")


async def _get_user(tx: Tx, user_id: uuid.UUID) -> ManagedUser:
    row = (await tx.execute(select(*_COLUMNS).where(User.id == user_id))).one_or_none()
    if row is None:
        raise NotFound
    return ManagedUser(**row._asdict())
