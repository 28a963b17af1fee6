"""Show what a deletion takes, request it, and take it back within the time of grace.

The request ends at once what the account can do and what it gives: sessions, tokens, webhooks, grants, open uploads and
copies; its links answer 404 while `users.purge_at` is set. Files stay until the worker purges them. A sign-in during
the time of grace has the scope `account:restore` alone.
"""

import logging
import uuid
from datetime import timedelta

from pydantic import SecretStr
from sqlalchemy import delete, func, or_, select, text, update

from dropbox_api import access
from dropbox_api.accounts import account, personal_tokens, sessions
from dropbox_api.accounts.factors.confirm import require_confirmation
from dropbox_api.accounts.factors.passwords import Passwords
from dropbox_api.context import Context, Services
from dropbox_api.db import Tx
from dropbox_api.deletion.schemas import AccountDeletion
from dropbox_api.files import copies, guard
from dropbox_api.models import Copy, Upload, User, Webhook
from dropbox_api.plumbing.failpoints import failpoint
from dropbox_api.plumbing.mail import Mail
from dropbox_api.problems import Forbidden, NotFound
from dropbox_api.settings import Settings
from dropbox_api.sharing import grants
from dropbox_api.uploads.sessions import IS_LIVE, end_sessions

log = logging.getLogger(__name__)

_MAIL = """\
Your account {email} will be deleted for good on {date}, with all its files.

To keep it, sign in before that day and restore it (`dbx login`, then `dbx account restore`). If you did not request the
deletion, sign in, restore the account and change its password now.
"""

_SHOW = text(f"""
    SELECT purge_at, used_nodes AS nodes, used_bytes,
        (SELECT count(DISTINCT node_id) FROM grants WHERE owner_id = users.id) AS shared_items,
        (SELECT count(DISTINCT coalesce(CAST(grantee_id AS text), email)) FROM grants WHERE owner_id = users.id)
            AS grantees,
        (SELECT count(*) FROM links WHERE owner_id = users.id AND {access.IS_SHOWN_LINK}) AS links,
        (SELECT count(*) FROM webhooks WHERE user_id = users.id) AS webhooks
    FROM users WHERE id = :user_id
""")


async def show_deletion(context: Context) -> AccountDeletion:
    """Return what a deletion of the caller's account takes."""
    async with context.db.read() as tx:
        return await _show(tx, context.actor_id)


async def _show(tx: Tx, user_id: uuid.UUID) -> AccountDeletion:
    return AccountDeletion(**(await tx.execute(_SHOW, {"user_id": user_id})).one()._asdict())


async def request_deletion(context: Context, passwords: Passwords, password: SecretStr | None) -> AccountDeletion:
    """Begin the deletion of the caller's account, and end its sessions, the current one too; return what it takes.

    Raises InvalidCredentials, Forbidden (an old sign-in, or the last administrator).
    Transaction: one, under the account's lock, after the password is checked; then one for each other owner in whose
    tree the account has open uploads or copies, which job `delete-accounts` repeats after a crash.
    """
    await require_confirmation(context, passwords, password)
    user_id, settings = context.actor_id, context.settings
    async with context.db.begin() as tx:
        await _lock_for_deletion(tx, user_id)
        shown = await _show(tx, user_id)
        purge_at = func.now() + timedelta(seconds=settings.auth.deletion_grace_s)
        changed = update(User).where(User.id == user_id, User.purge_at.is_(None)).values(purge_at=purge_at)
        await tx.execute(changed)
        await sessions.end_sessions(tx, user_id)
        await personal_tokens.revoke_tokens(tx, user_id)
        await tx.execute(delete(Webhook).where(Webhook.user_id == user_id))
        await grants.revoke_grants(tx, user_id)
        await _end_work_in_tree(tx, user_id, user_id, settings)
        stored = select(User.purge_at).where(User.id == user_id)
        answer = shown.model_copy(update={"purge_at": (await tx.execute(stored)).scalar_one()})
    log.info("user %s requested the deletion of the account", user_id)
    await failpoint("deletion.request.after_commit")
    await end_work_elsewhere(context, user_id)
    return answer


async def _lock_for_deletion(tx: Tx, user_id: uuid.UUID) -> None:
    """Lock the account, and all administrators. Raises Forbidden for the last administrator."""
    query = select(User.id, account.IS_ADMINISTRATOR.label("administers")).order_by(User.id)
    rows = await tx.execute(
        query.where(or_(User.id == user_id, account.IS_ADMINISTRATOR)).with_for_update(key_share=True)
    )
    if {row.id for row in rows if row.administers} == {user_id}:
        raise Forbidden("You are the last administrator: make another one first", reason="last-administrator")


async def _end_work_in_tree(tx: Tx, owner_id: uuid.UUID, user_id: uuid.UUID, settings: Settings) -> None:
    """End the open uploads and copies of a user into one tree, and in the own tree those of all.

    Transaction: joins tx, which holds the owner's lock.
    """
    is_own = owner_id == user_id
    live = select(Upload.id).where(Upload.owner_id == owner_id, IS_LIVE)
    running = select(Copy.id).where(Copy.owner_id == owner_id, Copy.state == "running")
    if not is_own:
        live, running = live.where(Upload.uploader_id == user_id), running.where(Copy.actor_id == user_id)
    upload_ids = (await tx.execute(live)).scalars().all()
    await end_sessions(tx, owner_id, upload_ids, "aborted", has_leftovers=True)
    for copy_id in (await tx.execute(running)).scalars().all():
        await copies.end_copy(tx, copy_id, "cancelled", None, settings.uploads.unplaced_ttl_s)


async def end_work_elsewhere(services: Services, user_id: uuid.UUID) -> None:
    """End the open uploads and copies of a user into the trees of others. Idempotent.

    Transaction: one for each owner, under the owner's lock.
    """
    uploads = select(Upload.owner_id).where(Upload.uploader_id == user_id, IS_LIVE)
    running = select(Copy.owner_id).where(Copy.actor_id == user_id, Copy.state == "running")
    async with services.db.read() as tx:
        owner_ids = set((await tx.execute(uploads.union(running))).scalars())
    for owner_id in sorted(owner_ids):
        async with services.db.begin() as tx:
            await guard.lock_owner(tx, owner_id)
            await _end_work_in_tree(tx, owner_id, user_id, services.settings)


async def restore_account(context: Context) -> None:
    """Take back the deletion of the caller's account: files and links are as before; grants, tokens and webhooks ended.

    Raises NotFound (no deletion runs, or the purge has begun). Transaction: one.
    """
    restored = update(User).where(
        User.id == context.actor_id, User.purge_at.is_not(None), User.purge_started_at.is_(None)
    )
    async with context.db.begin() as tx:
        if (await tx.execute(restored.values(purge_at=None))).rowcount == 0:
            raise NotFound
    log.info("user %s restored the account", context.actor_id)


def compose_notice(email: str, deletion: AccountDeletion) -> Mail:
    """Return the mail about a requested deletion."""
    date = f"{deletion.purge_at:%Y-%m-%d}" if deletion.purge_at else ""
    return Mail(email, "Your account will be deleted", _MAIL.format(email=email, date=date))
