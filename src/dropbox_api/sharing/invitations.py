"""The mail that tells a grantee of a new grant.

It goes to the invited address, or to that of the account that was named by its id; the grant itself depends on neither.
Names come from the owner: they stand in quotes, in the text only, and no mail client makes a link of them.
"""

import re
import uuid

from sqlalchemy import select
from sqlalchemy.orm import aliased

from dropbox_api.context import Context
from dropbox_api.models import Grant, Node, User
from dropbox_api.plumbing.limits import Limits
from dropbox_api.plumbing.mail import Mail
from dropbox_api.problems import RateLimited
from dropbox_api.settings import Settings

_MAX_NAME_CHARS = 80
_SUBJECTS = {"file": "A file was shared with you", "folder": "A folder was shared with you"}
_TEXT = """\
{who} shared the {kind} "{name}" with you. {rights}

{how}

If you do not expect this, ignore this mail.
"""


async def compose_invitation(context: Context, limits: Limits, grant_id: uuid.UUID) -> Mail | None:
    """Return the mail about a new grant; None where none is due. Runs in the background.

    None for a service account, for a disabled account, for a grant that has ended, and beyond the limits of mails by
    sender and by address. Invitations have counters of their own, so they use up no reset of a password.
    """
    grantee = aliased(User)
    query = (
        select(
            Grant.email,
            Grant.grantee_id,
            Grant.role,
            Node.kind,
            Node.name,
            User.email.label("owner_email"),
            User.display_name,
            grantee.email.label("account_email"),
            grantee.kind.label("account_kind"),
            grantee.disabled_at,
        )
        .join(Node, Node.id == Grant.node_id)
        .join(User, User.id == Grant.owner_id)
        .outerjoin(grantee, grantee.id == Grant.grantee_id)
    )
    async with context.db.read() as tx:
        grant = (await tx.execute(query.where(Grant.id == grant_id))).one_or_none()
    if grant is None or grant.account_kind == "service" or grant.disabled_at is not None:
        return None
    to = grant.account_email or grant.email
    try:
        await limits.hit("share_mail", str(context.actor_id))
        await limits.hit("mail", f"share {to}")
    except RateLimited:
        return None
    who = f'"{quote_name(grant.display_name)}" ({grant.owner_email})' if grant.display_name else grant.owner_email
    text = _TEXT.format(
        who=who,
        kind=grant.kind,
        name=quote_name(grant.name),
        rights="You can change it." if grant.role == "editor" else "You can view it.",
        how=_explain(context.settings, to, is_pending=grant.grantee_id is None),
    )
    return Mail(to, _SUBJECTS[grant.kind], text)


def _explain(settings: Settings, to: str, *, is_pending: bool) -> str:
    """Return how the grantee opens the shared item."""
    server = f"at this address:\n\n    {settings.base_url}\n" if settings.base_url else "on the server of the sender."
    if not is_pending:
        return f"It is among the items that are shared with you, {server}".rstrip()
    start = "Ask for an account" if settings.auth.registration == "closed" else "Sign up"
    return f"{start} with the address {to}, and confirm the address, {server}".rstrip()


def quote_name(name: str) -> str:
    """Return a name for the text of a mail: one line, cut, without quotes, and with nothing that reads as an address.

    Mail clients make links of `https://...`, of `example.com` and of `a@b.c`: a space after each mark prevents it.
    """
    shown = "".join(char if char.isprintable() else " " for char in name).replace('"', "'")
    shown = shown if len(shown) <= _MAX_NAME_CHARS else f"{shown[:_MAX_NAME_CHARS]}..."
    return " ".join(re.sub(r"([.:/@\\\u2024\u3002\uff0e\uff0f\uff1a\uff20\uff61])(?=\S)", r"\1 ", shown).split())
