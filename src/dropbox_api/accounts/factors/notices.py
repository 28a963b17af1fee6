"""Mails that tell the user of an account about a change of its factors, in case a stranger made it."""

import uuid

from sqlalchemy import select

from dropbox_api.db import Db
from dropbox_api.models import User
from dropbox_api.plumbing.mail import Mail

_TEXT = """\
{happened}

If this was you, there is nothing to do. Otherwise reset your password now, and remove what you do not know from your
passkeys, tokens and sign-ins.
"""


async def compose_notice(db: Db, user_id: uuid.UUID, subject: str, happened: str) -> Mail | None:
    """Return a mail to the address of an account; None if the address is not verified. Runs in the background."""
    verified = select(User.email).where(User.id == user_id, User.email_verified_at.is_not(None))
    async with db.read() as tx:
        email = await tx.scalar(verified)
    return Mail(email, subject, _TEXT.format(happened=happened)) if email else None
