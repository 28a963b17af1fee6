"""Undo a change of address by the link that went to the former one.

The change may be the work of a thief, so this is a reset as well: it sets a new password, and ends every sign-in, every
token, and whatever gives access and was added since the change was requested. Second factor, passkeys, webhooks,
providers and shares of before stay, as a reset of a confirmed address leaves them.
"""

import logging
import uuid
from datetime import datetime

from sqlalchemy import delete, func

from dropbox_api.accounts import account, mail_tokens, personal_tokens, undo_links
from dropbox_api.accounts.factors import second_factor
from dropbox_api.accounts.factors.passwords import Passwords
from dropbox_api.accounts.mail_tokens import Recipient
from dropbox_api.accounts.shares import Shares, accept_shares
from dropbox_api.db import Db, Tx
from dropbox_api.models import OidcIdentity, Webhook
from dropbox_api.plumbing import request_source
from dropbox_api.plumbing.mail import Mail

_UNDONE = """\
The change of your account to this address was undone by the link in the mail to its earlier address, and all sign-ins
have ended. If you did not do this, ask the operator of the server.
"""

log = logging.getLogger(__name__)


async def undo_change(db: Db, passwords: Passwords, shares: Shares, token: str, password: str) -> Recipient:
    """Give an account its former address back, with a new password; return what the token said.

    Later changes are undone with it, and their undo links are void; those of earlier changes stay.
    Raises InvalidMailToken, WeakPassword; neither uses the token up. Transaction: none while hashing.
    """
    password_hash = await mail_tokens.hash_new_password(db, passwords, token, "undo", password)
    async with db.begin() as tx:
        undone = await mail_tokens.spend_mail_token(tx, token, "undo")
        request_source.set_actor(undone.user_id, None)
        await account.set_address(tx, undone.user_id, undone.email, func.now())
        await undo_links.void_later_links(tx, undone)
        await account.set_password(tx, undone.user_id, password_hash)
        await personal_tokens.revoke_tokens(tx, undone.user_id)
        await _end_additions(tx, shares, undone.user_id, undone.issued_at)
    log.info("user %s undid a change of address", undone.user_id)
    await accept_shares(db, shares, undone.user_id)
    return undone


async def _end_additions(tx: Tx, shares: Shares, user_id: uuid.UUID, since: datetime) -> None:
    await second_factor.clear_factors(tx, user_id, since)
    for added in (Webhook, OidcIdentity):
        await tx.execute(delete(added).where(added.user_id == user_id, added.created_at >= since))
    await shares.revoke_all(tx, user_id, since)


def compose_undone(undone: Recipient) -> Mail | None:
    """Return the mail to the address that an account has lost by an undo; None if it was the same."""
    if undone.current_email == undone.email:
        return None
    return Mail(undone.current_email, "Your change of address was undone", _UNDONE)
