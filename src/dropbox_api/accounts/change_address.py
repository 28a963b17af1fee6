"""Change the address of an account: its user requests it, and the reader of the new address confirms it by a mail.

The request reveals nothing about the new address: it is the reader of the mail who learns that it is taken. A pending
change ends with the sign-in that requested it. A proven former address gets a notice and an undo (`undo_links`); the
account stays the same in everything else, sign-ins included. See ADR 0030.
"""

from sqlalchemy import func

from dropbox_api.accounts import account, mail_tokens, undo_links
from dropbox_api.accounts.factors.confirm import require_confirmation
from dropbox_api.accounts.factors.passwords import Passwords
from dropbox_api.accounts.schemas import RequestEmailChange
from dropbox_api.accounts.shares import Shares, accept_shares
from dropbox_api.context import Context
from dropbox_api.db import Db
from dropbox_api.plumbing import request_source
from dropbox_api.plumbing.mail import Mail
from dropbox_api.problems import EmailTaken
from dropbox_api.settings import Settings

_TEMPLATE = mail_tokens.MailTemplate(
    subject="Confirm your new address",
    text="""\
The account {email} is to get this address. If you requested that, confirm the address: {opened}

    {link}

The link works once, for {minutes} minutes, while the sign-in lasts that requested it. If you did not request it, do
nothing: the account of a stranger would receive what is shared with you.
""",
    path="/change-email",
)


async def request_change(context: Context, passwords: Passwords, new: RequestEmailChange) -> Mail:
    """Return the mail to the new address that confirms it; the link of an earlier request is void.

    Raises InvalidCredentials, Forbidden (see `require_confirmation`), Unauthenticated; EmailTaken for the caller's
    own address alone. Transaction: one, under the user's lock.
    """
    await require_confirmation(context, passwords, new.password)
    user_id, session_id, current = context.actor_id, context.actor.session_id, context.actor.email
    if new.email == current:
        raise EmailTaken("The account has this address already")
    async with context.db.begin() as tx:
        await account.lock_caller(tx, context.actor)
        issued = await mail_tokens.replace_mail_token(
            tx, context.settings.auth, "change", user_id, new.email, session_id=session_id
        )
    return mail_tokens.compose_mail(context.settings, _TEMPLATE, issued, email=current)


async def confirm_change(db: Db, settings: Settings, shares: Shares, token: str) -> Mail | None:
    """Give an account its new address, confirmed, and the grants to it; return the notice to a proven former address.

    Raises InvalidMailToken, EmailTaken. Transaction: one, then those of `accept_shares`.
    """
    async with db.begin() as tx:
        change = await mail_tokens.spend_mail_token(tx, token, "change")
        request_source.set_actor(change.user_id, None)
        await account.set_address(tx, change.user_id, change.email, func.now())
        undo = await undo_links.add_undo_link(tx, change) if change.email_verified_at is not None else None
    await accept_shares(db, shares, change.user_id)
    return undo_links.compose_undo(settings, undo) if undo else None
