"""Rows of accounts: what they show, how they are inserted, and the changes that several operations share."""

import logging
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, bindparam, exists, func, insert, literal_column, or_, select, update

from dropbox_api.accounts import sessions
from dropbox_api.accounts.schemas import Account, UpdateAccount
from dropbox_api.context import Actor, Context, Kind
from dropbox_api.db import Tx, new_id
from dropbox_api.models import MailToken, Node, User
from dropbox_api.plumbing import audit
from dropbox_api.problems import EmailTaken
from dropbox_api.settings import AuthSettings

IS_SECOND_FACTOR_ON = or_(User.totp_enabled_at.is_not(None), User.passkeys_only)
"""Whether a sign-in by password needs a code."""

ACCOUNT_COLUMNS = (
    User.id,
    User.email,
    User.display_name,
    User.kind,
    User.is_admin,
    User.email_verified_at,
    IS_SECOND_FACTOR_ON.label("second_factor"),
    User.passkeys_only,
    User.password_hash.is_not(None).label("has_password"),
    User.created_at,
    User.used_bytes,
    User.reserved_bytes,
    User.quota_bytes,
    User.used_nodes,
    User.quota_nodes,
    User.purge_at,
)
"""The columns of `schemas.Account`."""

IS_ADMINISTRATOR = User.is_admin & User.disabled_at.is_(None) & User.purge_at.is_(None)
"""The condition that a user can administer the server now: at least one user always can."""

IS_UNDO = MailToken.purpose == literal_column("'undo'")
"""As the condition of the partial index says it."""

_GET_ACCOUNT = select(*ACCOUNT_COLUMNS).where(User.id == bindparam("user_id"))

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class NewAccount:
    email: str
    """In lower case."""
    password_hash: str | None
    """None: the account has no sign-in by password."""
    kind: Kind = "person"
    quota_bytes: int | None = None
    """None: the default of the settings for a person, 0 for a service account, which works on shared files."""
    quota_nodes: int | None = None
    """As `quota_bytes`."""


async def get_account(context: Context) -> Account:
    """Return the caller's account with its usage; how it signs in only to sign-ins."""
    async with context.db.read() as tx:
        row = (await tx.execute(_GET_ACCOUNT, {"user_id": context.actor_id})).one()
    hidden = (
        {}
        if context.actor.session_id is not None
        else dict.fromkeys(("second_factor", "passkeys_only", "has_password"))
    )
    return Account(**row._asdict() | hidden)


async def change_account(context: Context, changes: UpdateAccount) -> Account:
    """Change the given members of the caller's account; return it."""
    values = changes.model_dump(include=changes.model_fields_set)
    if values:
        async with context.db.begin() as tx:
            await tx.execute(update(User).where(User.id == context.actor_id).values(values))
    return await get_account(context)


async def insert_account(tx: Tx, settings: AuthSettings, new: NewAccount) -> Account:
    """Create an account and its root folder. Raises EmailTaken. Transaction: joins tx."""
    is_person = new.kind == "person"
    default_bytes, default_nodes = (settings.default_quota_bytes, settings.default_quota_nodes) if is_person else (0, 0)
    values = {
        "id": new_id(),
        "email": new.email,
        "kind": new.kind,
        "password_hash": new.password_hash,
        "quota_bytes": default_bytes if new.quota_bytes is None else new.quota_bytes,
        "quota_nodes": default_nodes if new.quota_nodes is None else new.quota_nodes,
    }
    row = (await tx.execute(insert(User).values(values).returning(*ACCOUNT_COLUMNS))).one()
    await _require_unreserved(tx, row.id, new.email)
    await tx.execute(insert(Node).values(id=new_id(), owner_id=row.id, kind="folder", name="", name_key=""))
    return Account(**row._asdict())


async def lock_account(tx: Tx, user_id: uuid.UUID) -> None:
    """Take the lock of an account's row, if there is one. Transaction: joins tx."""
    await tx.execute(select(User.id).where(User.id == user_id).with_for_update(key_share=True))


async def lock_caller(tx: Tx, actor: Actor) -> None:
    """Take the lock of the caller's account, for a change that outlives the sign-in.

    Raises Unauthenticated if the sign-in ended meanwhile. Transaction: joins tx.
    """
    await lock_account(tx, actor.user_id)
    await sessions.require_usable(tx, actor.session_id)


async def set_password(
    tx: Tx, user_id: uuid.UUID, password_hash: str, *, keep_session: uuid.UUID | None = None
) -> None:
    """Replace the password, end the sessions (except `keep_session`) and void the open mails that reset a password.

    Personal access tokens stay: they do not depend on the password. Transaction: joins tx.
    """
    values = {"password_hash": password_hash, "password_changed_at": func.now()}
    await tx.execute(update(User).where(User.id == user_id).values(values))
    await sessions.end_sessions(tx, user_id, keep=keep_session)
    unused = (MailToken.user_id == user_id, MailToken.purpose == "reset", MailToken.used_at.is_(None))
    await tx.execute(update(MailToken).where(*unused).values(used_at=func.now()))
    log.info("user %s has a new password", user_id)


async def record_verified_address(tx: Tx, user_id: uuid.UUID) -> None:
    """Record that the user reads the mail of the account's address; the first time counts. Transaction: joins tx."""
    unverified = (User.id == user_id, User.email_verified_at.is_(None))
    await tx.execute(update(User).where(*unverified).values(email_verified_at=func.now()))


async def set_address(tx: Tx, user_id: uuid.UUID, email: str, verified_at: ColumnElement[datetime] | None) -> None:
    """Give an account another address (in lower case), and void the open mails that verify, reset or change.

    No effect if it has the address. Raises EmailTaken. Transaction: joins tx, which holds the user's lock.
    """
    former = (await tx.execute(select(User.email).where(User.id == user_id))).scalar_one()
    if former == email:
        return
    await tx.execute(update(User).where(User.id == user_id).values(email=email, email_verified_at=verified_at))
    await _require_unreserved(tx, user_id, email)
    unused = (MailToken.user_id == user_id, ~IS_UNDO, MailToken.used_at.is_(None))
    await tx.execute(update(MailToken).where(*unused).values(used_at=func.now()))
    await record_in_audit(tx, user_id, "address-changed", {"from": former, "to": email})
    log.info("user %s has a new address", user_id)


async def _require_unreserved(tx: Tx, user_id: uuid.UUID, email: str) -> None:
    """Require that no other account may take an address back, which the caller has just written.

    The unique index has let the caller wait for a change away from the address, so this sees its undo.
    Raises EmailTaken. Transaction: joins tx.
    """
    reserved = (
        MailToken.email == email,
        IS_UNDO,
        MailToken.user_id != user_id,
        MailToken.used_at.is_(None),
        MailToken.expires_at > func.now(),
    )
    if await tx.scalar(select(exists().where(*reserved))):
        raise EmailTaken


async def record_in_audit(tx: Tx, user_id: uuid.UUID, action: audit.Action, detail: Mapping[str, str]) -> None:
    """Write a change of an account into the audit trail of its root folder. Transaction: joins tx."""
    root = select(Node.id).where(Node.owner_id == user_id, Node.parent_id.is_(None))
    await audit.record(tx, user_id, [audit.Entry(action, (await tx.execute(root)).scalar_one(), dict(detail))])
