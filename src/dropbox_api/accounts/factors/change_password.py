"""Change the password of a caller who is signed in."""

from sqlalchemy import select

from dropbox_api.accounts import account
from dropbox_api.accounts.factors import password_rules
from dropbox_api.accounts.factors.confirm import require_confirmation
from dropbox_api.accounts.factors.passwords import Passwords
from dropbox_api.accounts.schemas import UpdatePassword
from dropbox_api.context import Context
from dropbox_api.models import User
from dropbox_api.problems import InvalidCredentials


async def change_password(context: Context, passwords: Passwords, change: UpdatePassword) -> None:
    """Replace the caller's password, or set the first one. Other sessions end; personal access tokens stay.

    Raises WeakPassword; InvalidCredentials, Forbidden (see `require_confirmation`).
    Transaction: one, after both hashes. Of two concurrent changes the second one raises InvalidCredentials.
    """
    user_id, new_password = context.actor_id, change.new_password.get_secret_value()
    password_rules.require_strong(new_password, context.actor.email)
    async with context.db.read() as tx:
        query = select(User.password_changed_at, User.password_hash.is_not(None)).where(User.id == user_id)
        changed_at, has_password = (await tx.execute(query)).one()
    if has_password and change.current_password is None:
        raise InvalidCredentials
    await require_confirmation(context, passwords, change.current_password)
    password_hash = await passwords.hash(new_password)
    unchanged = (User.id == user_id, User.password_changed_at.is_not_distinct_from(changed_at))
    async with context.db.begin() as tx:
        if await tx.scalar(select(User.id).where(*unchanged).with_for_update(key_share=True)) is None:
            raise InvalidCredentials
        await account.set_password(tx, user_id, password_hash, keep_session=context.actor.session_id)
