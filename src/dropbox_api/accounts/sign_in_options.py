"""What the page of the sign-in may offer: the ways that this server has."""

from sqlalchemy import exists, select

from dropbox_api.accounts.factors.relying_party import require_relying_party
from dropbox_api.accounts.schemas import SignInOptions
from dropbox_api.db import Db
from dropbox_api.models import User
from dropbox_api.plumbing.mail import Mailer
from dropbox_api.problems import PasskeysUnavailable
from dropbox_api.settings import Settings


async def show_options(db: Db, settings: Settings, mailer: Mailer) -> SignInOptions:
    """Return the ways to sign in, and whether there is any account."""
    async with db.read() as tx:
        has_accounts = await tx.scalar(select(exists().where(User.kind == "person")))
    return SignInOptions(
        registration=settings.auth.registration == "open",
        passkeys=_has_passkeys(settings),
        provider=settings.oidc.name if settings.oidc.issuer is not None else None,
        sends_mail=mailer.is_configured,
        has_accounts=bool(has_accounts),
    )


def _has_passkeys(settings: Settings) -> bool:
    try:
        require_relying_party(settings)
    except PasskeysUnavailable:
        return False
    return True
