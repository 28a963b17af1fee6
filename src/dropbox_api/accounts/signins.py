"""Where somebody is signed in, and what ends that: by hand, or with a new password."""

import uuid

from pydantic import SecretStr
from sqlalchemy import func, select, update

from dropbox_api.accounts import password_rules, service
from dropbox_api.accounts.passwords import Passwords
from dropbox_api.accounts.schemas import SignIn, SignInList
from dropbox_api.context import Actor
from dropbox_api.db import Db
from dropbox_api.models import Session, User
from dropbox_api.plumbing import page_cursors
from dropbox_api.problems import InvalidCredentials, NotFound

_SIGN_IN = (Session.id, Session.user_agent, Session.address, Session.created_at, Session.last_used_at)


async def list_sign_ins(db: Db, actor: Actor, *, limit: int, cursor: str | None) -> SignInList:
    """List the sessions that stand, newest first. Raises InvalidCursor."""
    standing = (Session.user_id == actor.user_id, Session.revoked_at.is_(None), Session.expires_at > func.now())
    query = select(*_SIGN_IN).where(*standing).order_by(Session.id.desc()).limit(limit + 1)
    if cursor is not None:
        query = query.where(Session.id < page_cursors.decode_id("sign-ins", cursor))
    async with db.read() as tx:
        rows = (await tx.execute(query)).all()
    items = [SignIn(**row._asdict(), is_current=row.id == actor.session_id) for row in rows[:limit]]
    return SignInList(
        items=items, next_cursor=page_cursors.encode_cursor("sign-ins", items[-1].id) if len(rows) > limit else None
    )


async def end(db: Db, actor: Actor, session_id: uuid.UUID) -> None:
    """End one sign-in, perhaps the one that asks. Raises NotFound when there is none that stands."""
    theirs = (Session.id == session_id, Session.user_id == actor.user_id, Session.revoked_at.is_(None))
    ended = update(Session).where(*theirs, Session.expires_at > func.now()).values(revoked_at=func.now())
    async with db.begin() as tx:
        if (await tx.execute(ended)).rowcount == 0:
            raise NotFound


async def end_others(db: Db, actor: Actor) -> None:
    """End every sign-in but the one that asks."""
    async with db.begin() as tx:
        await service.end_sessions(tx, actor.user_id, but=actor.session_id)


async def change_password(
    db: Db, passwords: Passwords, actor: Actor, *, current_password: SecretStr | None, new_password: SecretStr
) -> None:
    """Replace the password, or set the first one. Other sign-ins end; access tokens of long life stay.

    Raises WeakPassword; InvalidCredentials, Forbidden (see `service.confirm`).
    Transaction: one, after both hashes; of two changes at once the second to commit finds its password outdated.
    """
    password_rules.check(new_password.get_secret_value(), actor.email)
    async with db.read() as tx:
        before = await tx.scalar(select(User.password_changed_at).where(User.id == actor.user_id))
    await service.confirm(db, passwords, actor, current_password)
    password_hash = await passwords.hash(new_password.get_secret_value())
    unchanged = (User.id == actor.user_id, User.password_changed_at.is_not_distinct_from(before))
    async with db.begin() as tx:
        if await tx.scalar(select(User.id).where(*unchanged).with_for_update(key_share=True)) is None:
            raise InvalidCredentials
        await service.set_password(tx, actor.user_id, password_hash, but_session=actor.session_id)
