"""Bearers of links: the check of a link's token and password before every operation of the public side."""

from dataclasses import dataclass

from dropbox_api import access, problems
from dropbox_api.accounts.factors.passwords import Passwords
from dropbox_api.context import Services
from dropbox_api.core.fingerprint import parse_sha256
from dropbox_api.plumbing import request_source
from dropbox_api.plumbing.limits import Limits
from dropbox_api.sharing.link_tokens import LinkTokens
from dropbox_api.uploads.senders import sender
from dropbox_api.uploads.senders.sender import Sender, SenderContext


@dataclass(frozen=True, slots=True)
class LinkSecurity:
    """The protection of links: their tokens, the hashes of their passwords, and the limit of wrong passwords."""

    tokens: LinkTokens
    passwords: Passwords
    limits: Limits


@dataclass(frozen=True, slots=True)
class LinkCredentials:
    token: str
    password: str | None = None
    link_pass: str | None = None
    """What the visitor got for the password: a page in a cookie, a program in a header."""


@dataclass(frozen=True, slots=True)
class LinkContext(Services):
    """Services, and the link whose bearer an operation works for."""

    link: access.LinkAccess


async def open_link(services: Services, security: LinkSecurity, credentials: LinkCredentials) -> LinkContext:
    """Return the context of the link that the credentials open.

    Raises NotFound, the same for every token that opens nothing, and for an upload token; LinkPasswordRequired for a
    missing or wrong password; RateLimited after too many wrong ones, then for the right one too.
    Transaction: none is open while the password is checked.
    """
    context = await open_link_or_token(services, security, credentials)
    if context.link.is_upload_token:
        raise problems.NotFound
    return context


async def open_link_or_token(services: Services, security: LinkSecurity, credentials: LinkCredentials) -> LinkContext:
    """Return what `open_link` returns; an upload token opens as well, for the start of uploads alone."""
    link_id = security.tokens.find_link_id(credentials.token)
    if link_id is None:
        raise problems.NotFound
    async with services.db.read() as tx:
        link = await access.require_link(tx, link_id)
    if link.password_hash is not None:
        await _require_password(security, link, link.password_hash, credentials)
    request_source.set_link(link_id)
    return LinkContext(services.db, services.store, services.settings, link, tasks=services.tasks)


def require_upload_link(context: LinkContext, secret_hash: str) -> SenderContext:
    """Return the context of a sender who starts uploads under an upload link. Raises LinkNotFor."""
    if context.link.mode != "upload":
        raise problems.LinkNotFor(mode=context.link.mode)
    link = context.link
    return _make_sender(context, Sender(link.link_id, parse_sha256(secret_hash), link.password_hash))


def open_sender(services: Services, security: LinkSecurity, token: str, secret: str | None) -> SenderContext:
    """Return the context of a sender with a secret; each operation checks the secret against its session.

    The link's password is not asked for: the start asked, and another password ends the sessions.
    Raises NotFound for a token that this server did not issue, and for a text that no secret is.
    """
    link_id = security.tokens.find_link_id(token)
    if link_id is None:
        raise problems.NotFound
    request_source.set_link(link_id)
    return _make_sender(services, Sender(link_id, sender.hash_secret(secret)))


def _make_sender(services: Services, bearer: Sender) -> SenderContext:
    return SenderContext(services.db, services.store, services.settings, bearer, tasks=services.tasks)


async def _require_password(
    security: LinkSecurity, link: access.LinkAccess, password_hash: str, credentials: LinkCredentials
) -> None:
    """Check the pass or the password of a link. Raises LinkPasswordRequired, RateLimited."""
    link_pass, password = credentials.link_pass, credentials.password
    if link_pass and security.tokens.is_pass(link_pass, link.link_id, password_hash):
        return
    if password is None:
        raise problems.LinkPasswordRequired("The pass is not valid (any more)" if link_pass else "")
    key = str(link.link_id)
    await security.limits.test("link_password", key)
    is_right, _ = await security.passwords.verify(password, password_hash)
    # Test again: of many concurrent requests all passed the test above, and none beyond the limit may get an answer.
    await (security.limits.test if is_right else security.limits.hit)("link_password", key)
    if not is_right:
        raise problems.LinkPasswordRequired("The password is wrong")
