"""Users, as administrators and operators manage them: the routes of `admin`, and `dropbox-api users`.

Somebody stays an administrator, always: the last one can be neither demoted nor disabled. Files are nobody's business
here: those of a disabled account stay, and no administrator sees them.
"""

import logging
import uuid

from sqlalchemy import func, or_, select, update

from dropbox_api.accounts import password_rules, service
from dropbox_api.accounts.passwords import Passwords
from dropbox_api.accounts.schemas import ChangeUser, ManagedUser, NewUser, UserList
from dropbox_api.db import Db, Tx
from dropbox_api.models import ApiToken, User
from dropbox_api.plumbing import page_cursors
from dropbox_api.problems import Forbidden, NotFound
from dropbox_api.settings import AuthSettings

_MANAGED = (*service.ACCOUNT, User.disabled_at)

log = logging.getLogger(__name__)


async def list_users(db: Db, *, q: str | None, limit: int, cursor: str | None) -> UserList:
    """List users in the order in which they came; `q` is a part of their address, in any case. Raises InvalidCursor."""
    query = select(*_MANAGED).order_by(User.id).limit(limit + 1)
    if q:
        query = query.where(User.email.contains(q.lower(), autoescape=True))
    if cursor is not None:
        query = query.where(User.id > page_cursors.decode_id("users", cursor))
    async with db.read() as tx:
        rows = (await tx.execute(query)).all()
    items = [ManagedUser(**row._asdict()) for row in rows[:limit]]
    return UserList(
        items=items, next_cursor=page_cursors.encode_cursor("users", items[-1].id) if len(rows) > limit else None
    )


async def get_user(db: Db, user_id: uuid.UUID) -> ManagedUser:
    """Return a user. Raises NotFound."""
    async with db.read() as tx:
        return await _get(tx, user_id)


async def require_user_id(db: Db, email: str) -> uuid.UUID:
    """Return the id of the user with this address (in lower case). Raises NotFound."""
    async with db.read() as tx:
        user_id = await tx.scalar(select(User.id).where(User.email == email))
    if user_id is None:
        raise NotFound(f"There is no user {email}")
    return user_id


async def create_user(db: Db, settings: AuthSettings, passwords: Passwords, new: NewUser) -> ManagedUser:
    """Create an account, also where registration is closed. Raises WeakPassword, EmailTaken."""
    password_hash = None
    if new.password is not None:
        password_rules.check(new.password.get_secret_value(), new.email)
        password_hash = await passwords.hash(new.password.get_secret_value())
    async with db.begin() as tx:
        account = await service.insert_account(
            tx,
            settings,
            email=new.email,
            password_hash=password_hash,
            kind=new.kind,
            quota_bytes=new.quota_bytes,
            quota_nodes=new.quota_nodes,
        )
    log.info("user %s was created, a %s", account.id, account.kind)
    return ManagedUser(**account.model_dump(), disabled_at=None)


async def change_user(db: Db, user_id: uuid.UUID, changes: ChangeUser) -> ManagedUser:
    """Change what is given. Disabling ends every session and token, for good; whoever is enabled signs in anew.

    A quota below what is used deletes nothing: nothing more fits.
    Raises NotFound; Forbidden for the last administrator, and for a service account as one.
    Transaction: one, under the user's lock; what could leave no administrator locks them all.
    """
    values = changes.model_dump(exclude_none=True, exclude={"disabled"})
    if changes.disabled is not None:
        values["disabled_at"] = func.coalesce(User.disabled_at, func.now()) if changes.disabled else None
    async with db.begin() as tx:
        await _lock(tx, user_id, changes)
        if values:
            await tx.execute(update(User).where(User.id == user_id).values(values))
        if changes.disabled:
            await service.end_sessions(tx, user_id)
            tokens = (ApiToken.user_id == user_id, ApiToken.revoked_at.is_(None))
            await tx.execute(update(ApiToken).where(*tokens).values(revoked_at=func.now()))
        user = await _get(tx, user_id)
    log.info("user %s was changed: %s", user_id, changes.model_dump(exclude_none=True))
    return user


async def remove_second_factor(db: Db, user_id: uuid.UUID) -> None:
    """Let somebody in with the password alone who lost both app and recovery codes; their sign-ins end.

    Does nothing to a user without one.
    """
    async with db.begin() as tx:
        await tx.execute(select(User.id).where(User.id == user_id).with_for_update(key_share=True))
        await service.remove_second_factor(tx, user_id)


async def _lock(tx: Tx, user_id: uuid.UUID, changes: ChangeUser) -> None:
    """Take the user's lock. Raises NotFound, Forbidden when the changes must not be."""
    administers = User.is_admin & User.disabled_at.is_(None)
    removes = changes.disabled or changes.is_admin is False
    query = select(User.id, User.kind, administers.label("administers")).order_by(User.id)
    locked = query.where(or_(User.id == user_id, administers & bool(removes))).with_for_update(key_share=True)
    users = {row.id: row for row in (await tx.execute(locked)).all()}
    if user_id not in users:
        raise NotFound
    if removes and {row.id for row in users.values() if row.administers} == {user_id}:
        raise Forbidden("This is the last administrator: make another one first")
    if changes.is_admin and users[user_id].kind == "service":
        raise Forbidden("A service account cannot be an administrator")


async def _get(tx: Tx, user_id: uuid.UUID) -> ManagedUser:
    row = (await tx.execute(select(*_MANAGED).where(User.id == user_id))).one_or_none()
    if row is None:
        raise NotFound
    return ManagedUser(**row._asdict())
