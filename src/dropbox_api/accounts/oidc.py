"""Sign in at an OpenID provider: authorization code with PKCE, state and nonce (OpenID Connect Core 1.0, RFC 9700).

`start_sign_in` encrypts the flow into a cookie. `finish_sign_in` checks the provider's answer and returns a code: it is
valid once, for a minute, and only with the verifier whose challenge began the flow. `redeem_code` begins the session.
So no address ever contains a token, and a stolen code is useless.

Issuer and subject identify a user. An address links the identity to an existing account only if both sides verified
it. The provider is responsible for the second factor: this server does not require its own.
"""

import logging
import uuid

from sqlalchemy import func, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from dropbox_api.accounts import account, oidc_flow, oidc_provider, sessions
from dropbox_api.accounts.oidc_flow import Flow
from dropbox_api.accounts.oidc_provider import Claims
from dropbox_api.accounts.schemas import AuthTokens, ExchangeOidcCode
from dropbox_api.accounts.session_tokens import AccessTokens, SessionTransport
from dropbox_api.accounts.shares import Shares, accept_shares
from dropbox_api.db import Db, Tx
from dropbox_api.models import OidcIdentity, User
from dropbox_api.plumbing import request_source
from dropbox_api.problems import OidcFailed
from dropbox_api.settings import Settings

log = logging.getLogger(__name__)


async def start_sign_in(settings: Settings, flow: Flow) -> tuple[str, str]:
    """Return the provider's address for the browser, and the encrypted flow for its cookie.

    Raises OidcFailed (provider-unavailable, not-configured).
    """
    address = await oidc_provider.build_authorization_url(settings, flow)
    return address, oidc_flow.encrypt_flow(settings.auth, flow)


async def finish_sign_in(db: Db, settings: Settings, shares: Shares, flow: Flow, code: str) -> str:
    """Exchange the provider's code for one of this server, and create the account where there is none.

    Raises OidcFailed (provider-unavailable, code, id-token, address-not-verified, account-disabled,
    registration-closed), EmailTaken when a concurrent request registers the address.
    Transaction: one, after the provider has answered; then those of `accept_shares` for a new account.
    """
    claims = await oidc_provider.fetch_claims(settings, flow, code)
    async with db.begin() as tx:
        new_user_id = await _require_account(tx, settings, claims)
        issued_at = (await tx.execute(select(func.clock_timestamp()))).scalar_one()
    issued = oidc_flow.Code(issuer=claims.issuer, subject=claims.subject, challenge=flow.challenge, issued_at=issued_at)
    encrypted = oidc_flow.encrypt_code(settings.auth, issued)
    if new_user_id is not None:
        await accept_shares(db, shares, new_user_id)
    return encrypted


async def redeem_code(
    db: Db,
    settings: Settings,
    access_tokens: AccessTokens,
    presented: ExchangeOidcCode,
    transport: SessionTransport,
) -> AuthTokens:
    """Begin a session for the client of the current request.

    The codes of one identity are valid in the order of their issue, each once.
    Raises OidcFailed (code). Transaction: one.
    """
    failed = OidcFailed("The code has expired, was used, or belongs to another client: start again", reason="code")
    code = oidc_flow.decrypt_code(
        settings.auth, presented.code.get_secret_value(), presented.verifier.get_secret_value()
    )
    if code is None:
        raise failed
    identity = (OidcIdentity.issuer == code.issuer, OidcIdentity.subject == code.subject)
    # Under the user's lock, like every sign-in: disabling the account at this moment ends this session too.
    admitted = (
        select(User.id)
        .join(OidcIdentity, OidcIdentity.user_id == User.id)
        .where(*identity, User.disabled_at.is_(None), User.kind == "person")
        .with_for_update(key_share=True, of=User)
    )
    unused = or_(OidcIdentity.last_used_at.is_(None), OidcIdentity.last_used_at < code.issued_at)
    used = update(OidcIdentity).where(*identity, unused).values(last_used_at=func.clock_timestamp())
    async with db.begin() as tx:
        user_id = await tx.scalar(admitted)
        if user_id is None or (await tx.execute(used)).rowcount == 0:
            raise failed
        token = await sessions.begin_session(tx, settings.auth, user_id, request_source.get_source(), transport)
        if settings.oidc.is_second_factor:
            await sessions.record_second_factor(tx, token.session_id)
    return access_tokens.issue_pair(user_id, token)


async def _require_account(tx: Tx, settings: Settings, claims: Claims) -> uuid.UUID | None:
    """Find, link or create the account of these claims; return its id if it is new.

    Raises OidcFailed, EmailTaken. Transaction: joins tx.
    """
    identity = (OidcIdentity.issuer == claims.issuer, OidcIdentity.subject == claims.subject)
    known = select(User.disabled_at).join(OidcIdentity, OidcIdentity.user_id == User.id).where(*identity)
    if user := (await tx.execute(known)).one_or_none():
        if user.disabled_at is not None:
            raise OidcFailed("The account is disabled", reason="account-disabled")
        return None
    if claims.email is None or not claims.email_verified:
        raise OidcFailed("The provider has not verified your address", reason="address-not-verified")
    existing_id = await _find_linkable(tx, claims.email)
    user_id = existing_id or await _create_account(tx, settings, claims.email)
    values = {"issuer": claims.issuer, "subject": claims.subject, "user_id": user_id, "email": claims.email}
    await tx.execute(insert(OidcIdentity).values(values).on_conflict_do_nothing())
    log.info("user %s signs in at the provider from now on", user_id)
    return None if existing_id else user_id


async def _find_linkable(tx: Tx, email: str) -> uuid.UUID | None:
    """Lock the account with this address; return its id, None if there is none.

    Raises OidcFailed unless the account may sign in and has verified the address.
    """
    query = select(User.id, User.kind, User.email_verified_at, User.disabled_at).where(User.email == email)
    row = (await tx.execute(query.with_for_update(key_share=True))).one_or_none()
    if row is None:
        return None
    user_id, kind, email_verified_at, disabled_at = row
    if disabled_at is not None or kind != "person":
        raise OidcFailed("The account is disabled", reason="account-disabled")
    if email_verified_at is None:
        # A stranger may have registered the address, waiting for its owner to use the account.
        raise OidcFailed("Verify the address of your account first", reason="address-not-verified")
    return user_id


async def _create_account(tx: Tx, settings: Settings, email: str) -> uuid.UUID:
    """Create an account with this address, verified. Raises OidcFailed (registration-closed), EmailTaken."""
    if not settings.oidc.registration:
        raise OidcFailed("Only the administrator creates accounts: ask for one", reason="registration-closed")
    created = await account.insert_account(tx, settings.auth, account.NewAccount(email, password_hash=None))
    await account.record_verified_address(tx, created.id)
    return created.id
