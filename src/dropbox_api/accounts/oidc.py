"""Signing in at an OpenID provider: authorization code with PKCE, state and nonce (OpenID Connect Core 1.0, RFC 9700).

Nothing is kept here between the steps. `start` seals what the callback must know into a cookie; `finish` checks what
the provider says and answers a code, good once and for a minute, and only with the verifier whose challenge began the
sign-in; `redeem` makes the session. So no token stands in an address, and whoever steals one there has nothing.

The provider's description and keys are fetched anew for each sign-in: they are few, and keys rotate. Who somebody is,
issuer and subject say; an address links an account only if both sides have it verified. The second factor is the
provider's business: ours is not asked for.
"""

import asyncio
import base64
import hashlib
import hmac
import logging
import secrets
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import quote

import httpx
from cryptography.fernet import Fernet, InvalidToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from sqlalchemy import func, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from dropbox_api.accounts import service
from dropbox_api.accounts.schemas import Address, Tokens
from dropbox_api.accounts.session_tokens import AccessTokens
from dropbox_api.db import Db, Tx
from dropbox_api.models import OidcIdentity, User
from dropbox_api.plumbing.encryption import derive_key
from dropbox_api.problems import OidcFailed
from dropbox_api.settings import AuthSettings, OidcSettings, Settings

STATE_TTL_S = 600
"""Time to sign in at the provider."""
CODE_TTL_S = 60

CALLBACK_PATH = "/v1/auth/oidc/callback"

_PATIENCE_S = 10
"""How long one step waits for the provider, all its requests together."""
_LEEWAY_S = 60
_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
"""Signatures by a key pair only: no `none`, and no MAC whose key would be the published key."""

log = logging.getLogger(__name__)


class Flow(BaseModel):
    """One sign-in on its way, sealed into the cookie."""

    state: str
    nonce: str
    verifier: str
    """Of our PKCE with the provider."""
    challenge: str
    """Of the client's with us."""
    redirect: str
    cli_port: int | None

    def destination(self, **answer: str) -> str:
        """Return where the client waits for the answer: the CLI's own port, or a page of ours, in its fragment."""
        query = httpx.QueryParams(answer)
        return f"http://127.0.0.1:{self.cli_port}/?{query}" if self.cli_port else f"{self.redirect}#{query}"


@dataclass(frozen=True, slots=True)
class Claims:
    """What the provider says of somebody."""

    issuer: str
    subject: str
    email: str | None
    email_verified: bool


class _Provider(BaseModel):
    """The members of OpenID Connect Discovery 1.0, section 3, that we need."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None = None
    token_endpoint_auth_methods_supported: list[str] = ["client_secret_basic"]


class _Code(BaseModel):
    issuer: str
    subject: str
    challenge: str
    issued_at: datetime


class _Keys(BaseModel):
    keys: list[dict[str, Any]]


class _IdToken(BaseModel):
    sub: Annotated[str, Field(min_length=1, max_length=255)]
    email: str | None = None
    email_verified: bool = False


_ADDRESS: TypeAdapter[str] = TypeAdapter(Address)
_OBJECT: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])


def begin(*, challenge: str, redirect: str, cli_port: int | None) -> Flow:
    """Return a new flow, which ends at a path of this server, or at a port on the client's own machine."""
    return Flow(
        state=secrets.token_urlsafe(32),
        nonce=secrets.token_urlsafe(32),
        verifier=secrets.token_urlsafe(48),
        challenge=challenge,
        redirect=redirect,
        cli_port=cli_port,
    )


async def start(settings: Settings, flow: Flow) -> tuple[str, str]:
    """Return the provider's address to which the client goes, and the sealed flow for its cookie.

    Raises OidcFailed (provider-unavailable, not-configured).
    """
    async with _asking() as http:
        provider = await _discover(http, settings.oidc)
        query = {
            "response_type": "code",
            "client_id": settings.oidc.client_id,
            "redirect_uri": _redirect_uri(settings),
            "scope": settings.oidc.scopes,
            "state": flow.state,
            "nonce": flow.nonce,
            "code_challenge": _s256(flow.verifier),
            "code_challenge_method": "S256",
        }
        address = str(httpx.URL(provider.authorization_endpoint).copy_merge_params(query))
    return address, _box(settings.auth, "state").encrypt(flow.model_dump_json().encode()).decode()


def resume(settings: AuthSettings, sealed: str, state: str) -> Flow:
    """Return the flow that this browser began with this state. Raises OidcFailed (state)."""
    try:
        flow = Flow.model_validate_json(_box(settings, "state").decrypt(sealed, ttl=STATE_TTL_S))
    except (InvalidToken, ValidationError):
        raise OidcFailed("The sign-in took too long, or was begun elsewhere", reason="state") from None
    if not hmac.compare_digest(flow.state.encode(), state.encode()):
        raise OidcFailed("The sign-in was begun elsewhere", reason="state")
    return flow


async def finish(db: Db, settings: Settings, flow: Flow, code: str) -> tuple[str, uuid.UUID | None]:
    """Exchange the provider's code for ours; return it, and the user if their address is new to us.

    Raises OidcFailed (provider-unavailable, code, id-token, address-not-verified, account-disabled,
    registration-closed), EmailTaken when somebody registers at the same moment.
    Transaction: one, after the provider has answered.
    """
    claims = await _ask_who(settings, flow, code)
    async with db.begin() as tx:
        is_new = await _require_user(tx, settings, claims)
        issued_at = (await tx.execute(select(func.clock_timestamp()))).scalar_one()
    ours = _Code(issuer=claims.issuer, subject=claims.subject, challenge=flow.challenge, issued_at=issued_at)
    return _box(settings.auth, "code").encrypt(ours.model_dump_json().encode()).decode(), is_new


async def redeem(
    db: Db,
    settings: AuthSettings,
    access_tokens: AccessTokens,
    *,
    code: str,
    verifier: str,
    user_agent: str | None,
    address: str | None,
) -> Tokens:
    """Start a session. Codes of one identity are good in the order of their issue, each once.

    Raises OidcFailed (code). Transaction: one.
    """
    failed = OidcFailed("The code has expired, was used, or is not yours", reason="code")
    try:
        ours = _Code.model_validate_json(_box(settings, "code").decrypt(code, ttl=CODE_TTL_S))
    except (InvalidToken, ValidationError):
        raise failed from None
    if not hmac.compare_digest(_s256(verifier), ours.challenge):
        raise failed
    identity = (OidcIdentity.issuer == ours.issuer, OidcIdentity.subject == ours.subject)
    # Under the user's lock, like every sign-in: what disables them at this moment ends this session, too.
    admitted = (
        select(User.id)
        .join(OidcIdentity, OidcIdentity.user_id == User.id)
        .where(*identity, User.disabled_at.is_(None), User.kind == "person")
        .with_for_update(key_share=True, of=User)
    )
    unused = or_(OidcIdentity.last_used_at.is_(None), OidcIdentity.last_used_at < ours.issued_at)
    used = update(OidcIdentity).where(*identity, unused).values(last_used_at=func.clock_timestamp())
    async with db.begin() as tx:
        user_id = await tx.scalar(admitted)
        if user_id is None or (await tx.execute(used)).rowcount == 0:
            raise failed
        token = await service.begin_session(tx, settings, user_id, user_agent=user_agent, address=address)
    return service.tokens_for(access_tokens, user_id, token)


async def _require_user(tx: Tx, settings: Settings, claims: Claims) -> uuid.UUID | None:
    """Make sure that there is an account for these claims; return its id if it was made just now.

    Raises OidcFailed, EmailTaken. Transaction: joins tx.
    """
    identity = (OidcIdentity.issuer == claims.issuer, OidcIdentity.subject == claims.subject)
    known = select(User.disabled_at).join(OidcIdentity, OidcIdentity.user_id == User.id).where(*identity)
    if user := (await tx.execute(known)).one_or_none():
        if user.disabled_at is not None:
            raise OidcFailed("The account is disabled", reason="account-disabled")
        return None
    if claims.email is None or not claims.email_verified:
        raise OidcFailed("The provider does not vouch for your address", reason="address-not-verified")
    query = select(User.id, User.kind, User.email_verified_at, User.disabled_at).where(User.email == claims.email)
    account = (await tx.execute(query.with_for_update(key_share=True))).one_or_none()
    if account is None:
        if not settings.oidc.registration:
            raise OidcFailed("New accounts are made by the administrator", reason="registration-closed")
        user_id = (await service.insert_account(tx, settings.auth, email=claims.email, password_hash=None)).id
        await service.prove_address(tx, user_id)
    else:
        if account.disabled_at is not None or account.kind != "person":
            raise OidcFailed("The account is disabled", reason="account-disabled")
        if account.email_verified_at is None:
            # Whoever registered it may be somebody else, who waits for its owner to move in.
            raise OidcFailed("Verify the address of your account first", reason="address-not-verified")
        user_id = account.id
    row = {"issuer": claims.issuer, "subject": claims.subject, "user_id": user_id, "email": claims.email}
    await tx.execute(insert(OidcIdentity).values(row).on_conflict_do_nothing())
    log.info("user %s signs in at the provider from now on", user_id)
    return None if account else user_id


async def _ask_who(settings: Settings, flow: Flow, code: str) -> Claims:
    """Return who the provider says has signed in. Raises OidcFailed (provider-unavailable, code, id-token)."""
    async with _asking() as http:
        provider = await _discover(http, settings.oidc)
        answer = await _exchange(http, settings, provider, flow, code)
        published = _Keys.model_validate(_object(await http.get(provider.jwks_uri)))
        claims = _checked(answer.get("id_token"), published, provider.issuer, settings.oidc.client_id, flow.nonce)
        if "email" not in claims and provider.userinfo_endpoint:  # some put no more into the ID token than they must
            bearer = {"Authorization": f"Bearer {answer.get('access_token')}"}
            said = _object(await http.get(provider.userinfo_endpoint, headers=bearer))
            if said.get("sub") == claims["sub"]:
                claims = said
    try:
        token = _IdToken.model_validate(claims)
    except ValidationError:
        raise OidcFailed("The provider's ID token lacks what it must say", reason="id-token") from None
    try:
        email = token.email and _ADDRESS.validate_python(token.email)
    except ValidationError:
        email = None
    return Claims(provider.issuer, token.sub, email, token.email_verified)


async def _exchange(
    http: httpx.AsyncClient, settings: Settings, provider: _Provider, flow: Flow, code: str
) -> dict[str, Any]:
    """Return the token endpoint's answer. Raises OidcFailed (code)."""
    oidc = settings.oidc
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": _redirect_uri(settings),
        "code_verifier": flow.verifier,
    }
    secret = oidc.client_secret.get_secret_value() if oidc.client_secret else ""
    auth = None
    if secret and "client_secret_basic" in provider.token_endpoint_auth_methods_supported:
        auth = (quote(oidc.client_id, safe=""), quote(secret, safe=""))  # RFC 6749 section 2.3.1
    else:
        form |= {"client_id": oidc.client_id} | ({"client_secret": secret} if secret else {})
    answer = await http.post(provider.token_endpoint, data=form, auth=auth or httpx.USE_CLIENT_DEFAULT)
    if 400 <= answer.status_code < 500:
        log.warning("the OpenID provider refused the code: %s", answer.status_code)
        raise OidcFailed("The provider did not take its own code", reason="code")
    return _object(answer)


def _checked(id_token: object, published: _Keys, issuer: str, client_id: str, nonce: str) -> dict[str, Any]:
    """Return the claims of an ID token (OpenID Connect Core, 3.1.3.7). Raises OidcFailed (id-token)."""
    # What is published for encryption signs nothing; what this library cannot read is of no use.
    keys = [key for key in published.keys if key.get("kty") in {"RSA", "EC"} and key.get("use", "sig") == "sig"]
    expected = jwt.JWTClaimsRegistry(
        leeway=_LEEWAY_S,
        iss={"essential": True, "value": issuer},
        aud={"essential": True, "value": client_id},
        sub={"essential": True},
        exp={"essential": True},
        iat={"essential": True},
        nonce={"essential": True, "value": nonce},
        azp={"value": client_id},
    )
    try:
        claims = jwt.decode(str(id_token), KeySet.import_key_set({"keys": keys}), _ALGORITHMS).claims
        expected.validate(claims)
    except (JoseError, ValueError) as error:
        log.warning("the OpenID provider's ID token is not good: %s", type(error).__name__)
        raise OidcFailed("The provider's ID token is not good", reason="id-token") from None
    return claims


async def _discover(http: httpx.AsyncClient, settings: OidcSettings) -> _Provider:
    issuer = (settings.issuer or "").rstrip("/")
    answer = await http.get(f"{issuer}/.well-known/openid-configuration")
    provider = _Provider.model_validate(_object(answer))
    if provider.issuer.rstrip("/") != issuer:
        raise ValueError("the discovery document is of another issuer")
    return provider


@asynccontextmanager
async def _asking() -> AsyncIterator[httpx.AsyncClient]:
    """Give a client for one step's requests, bounded in time. Raises OidcFailed (provider-unavailable)."""
    try:
        async with asyncio.timeout(_PATIENCE_S), httpx.AsyncClient(timeout=_PATIENCE_S) as http:
            yield http
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValueError) as error:
        log.warning("the OpenID provider does not answer as it should: %s", type(error).__name__)
        raise OidcFailed("The provider does not answer as it should", reason="provider-unavailable") from None


def _object(answer: httpx.Response) -> dict[str, Any]:
    return _OBJECT.validate_json(answer.raise_for_status().content)


def _redirect_uri(settings: Settings) -> str:
    base = settings.base_url
    if base is None:
        raise OidcFailed("The server does not know its own address", reason="not-configured")
    return base + CALLBACK_PATH


def _box(settings: AuthSettings, purpose: str) -> Fernet:
    """Return what seals one kind of text: encrypted, signed, dated."""
    return Fernet(base64.urlsafe_b64encode(derive_key(settings, f"oidc {purpose}")))


def _s256(verifier: str) -> str:
    """Return the challenge of a verifier (RFC 7636 section 4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
