"""Links that undo a change of address: one for each proven address that an account had, good for UNDO_TTL.

An address that such a link can bring back stays taken (`account.set_address`). An older address is the stronger one:
its undo voids the links of the addresses after it, never the reverse.
"""

import uuid
from datetime import timedelta

from sqlalchemy import func, insert, select, update

from dropbox_api.accounts import mail_tokens
from dropbox_api.accounts.account import IS_UNDO
from dropbox_api.accounts.mail_tokens import IssuedMailToken, Recipient
from dropbox_api.db import Db, Tx
from dropbox_api.models import MailToken, User
from dropbox_api.plumbing.mail import Mail
from dropbox_api.settings import Settings

UNDO_TTL = timedelta(days=7)

_TEMPLATE = mail_tokens.MailTemplate(
    subject="The address of your account was changed",
    text="""\
The account that had this address has another one now: sign in with that. If you did not change it, undo the
change: {opened}

    {link}

It gives the account this address back, with a new password, and ends all sign-ins and tokens and what was added
since. The link works once, for 7 days after the change.
""",
    path="/undo-email",
)

_UNUSED = (IS_UNDO, MailToken.used_at.is_(None))


async def add_undo_link(tx: Tx, change: Recipient) -> IssuedMailToken:
    """Issue a token that undoes a change. Transaction: joins tx, which holds the user's lock."""
    token = mail_tokens.make_token()
    values = {
        "token_hash": mail_tokens.hash_token(token),
        "user_id": change.user_id,
        "purpose": "undo",
        "email": change.current_email,
        "created_at": change.issued_at,
        "expires_at": func.now() + UNDO_TTL,
    }
    await tx.execute(insert(MailToken).values(values))
    return IssuedMailToken(change.current_email, token)


async def replace_undo_link(db: Db, email: str) -> IssuedMailToken | None:
    """Issue the oldest undo of an address again, for a reader who lost the mail; None if there is none.

    Its time stays, and the token in the older mail is void.
    """
    token = mail_tokens.make_token()
    live = select(MailToken.token_hash).join(User, User.id == MailToken.user_id)
    live = live.where(*_UNUSED, MailToken.email == email, MailToken.expires_at > func.now(), User.disabled_at.is_(None))
    oldest = live.order_by(MailToken.created_at).limit(1).with_for_update(of=MailToken)
    async with db.begin() as tx:
        token_hash = await tx.scalar(oldest)
        if token_hash is None:
            return None
        replaced = update(MailToken).where(MailToken.token_hash == token_hash)
        await tx.execute(replaced.values(token_hash=mail_tokens.hash_token(token)))
    return IssuedMailToken(email, token)


async def void_later_links(tx: Tx, undone: Recipient) -> None:
    """Void the undo links of the changes since the one that is undone. Transaction: joins tx with the user's lock."""
    later = (*_UNUSED, MailToken.user_id == undone.user_id, MailToken.created_at >= undone.issued_at)
    await tx.execute(update(MailToken).where(*later).values(used_at=func.now()))


async def void_links(tx: Tx, user_id: uuid.UUID) -> None:
    """Void all undo links of an account. Transaction: joins tx, which holds the user's lock."""
    await tx.execute(update(MailToken).where(*_UNUSED, MailToken.user_id == user_id).values(used_at=func.now()))


def compose_undo(settings: Settings, issued: IssuedMailToken) -> Mail:
    """Return the notice to a former address, with the link that undoes the change."""
    return mail_tokens.compose_mail(settings, _TEMPLATE, issued)
