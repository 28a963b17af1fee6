"""The OpenID provider: its description, its token endpoint, and the check of its ID tokens (OpenID Connect Core 1.0).

Description and keys are fetched for each sign-in: sign-ins are rare, and keys rotate.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import quote

import httpx2
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from dropbox_api.accounts.oidc_flow import Flow
from dropbox_api.accounts.schemas import Address
from dropbox_api.problems import OidcFailed
from dropbox_api.settings import OidcSettings, Settings

CALLBACK_PATH = "/v1/auth/oidc/callback"

_TIMEOUT_S = 10
"""Limit of one step, all its requests together."""
_LEEWAY_S = 60
_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
"""Signatures by a key pair only: no `none`, and no MAC whose key would be the published key."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Claims:
    """The user who signed in at the provider. `email` is None without a valid address."""

    issuer: str
    subject: str
    email: str | None
    email_verified: bool


class _Provider(BaseModel):
    """The members of OpenID Connect Discovery 1.0, section 3, that this server needs."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None = None
    token_endpoint_auth_methods_supported: list[str] = ["client_secret_basic"]


class PublishedKeys(BaseModel):
    keys: list[dict[str, Any]]


class _IdToken(BaseModel):
    sub: Annotated[str, Field(min_length=1, max_length=255)]
    email: str | None = None
    email_verified: bool = False


_ADDRESS: TypeAdapter[str] = TypeAdapter(Address)
_OBJECT: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])


async def build_authorization_url(settings: Settings, flow: Flow) -> str:
    """Return the provider's address for the browser. Raises OidcFailed (provider-unavailable, not-configured)."""
    async with _connect() as http:
        provider = await _discover(http, settings.oidc)
        query = {
            "response_type": "code",
            "client_id": settings.oidc.client_id,
            "redirect_uri": _redirect_uri(settings),
            "scope": settings.oidc.scopes,
            "state": flow.state,
            "nonce": flow.nonce,
            "code_challenge": flow.provider_challenge,
            "code_challenge_method": "S256",
        }
        return str(httpx2.URL(provider.authorization_endpoint).copy_merge_params(query))


async def fetch_claims(settings: Settings, flow: Flow, code: str) -> Claims:
    """Exchange the provider's code for the user's claims. Raises OidcFailed (provider-unavailable, code, id-token)."""
    async with _connect() as http:
        provider = await _discover(http, settings.oidc)
        answer = await _exchange_code(http, settings, provider, flow, code)
        published = PublishedKeys.model_validate(_parse_object(await http.get(provider.jwks_uri)))
        client_id = settings.oidc.client_id
        claims = require_claims(answer.get("id_token"), published, provider.issuer, client_id, flow.nonce)
        if "email" not in claims and provider.userinfo_endpoint:  # some providers keep the ID token minimal
            bearer = {"Authorization": f"Bearer {answer.get('access_token')}"}
            user_info = _parse_object(await http.get(provider.userinfo_endpoint, headers=bearer))
            if user_info.get("sub") == claims["sub"]:
                claims = user_info
    try:
        token = _IdToken.model_validate(claims)
    except ValidationError:
        raise OidcFailed("The provider's ID token lacks required claims", reason="id-token") from None
    try:
        email = token.email and _ADDRESS.validate_python(token.email)
    except ValidationError:
        email = None
    return Claims(provider.issuer, token.sub, email, token.email_verified)


def require_claims(
    id_token: object, published: PublishedKeys, issuer: str, client_id: str, nonce: str
) -> dict[str, Any]:
    """Return the claims of a valid ID token (OpenID Connect Core, 3.1.3.7). Raises OidcFailed (id-token)."""
    # Skip keys for encryption, and key types that the library cannot read.
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
        log.warning("the OpenID provider's ID token is not valid: %s", type(error).__name__)
        raise OidcFailed("The provider's ID token is not valid", reason="id-token") from None
    return claims


async def _exchange_code(
    http: httpx2.AsyncClient, settings: Settings, provider: _Provider, flow: Flow, code: str
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
    answer = await http.post(provider.token_endpoint, data=form, auth=auth or httpx2.USE_CLIENT_DEFAULT)
    if 400 <= answer.status_code < 500:
        log.warning("the OpenID provider refused the code: %s", answer.status_code)
        raise OidcFailed("The provider refused its own code: start again", reason="code")
    return _parse_object(answer)


async def _discover(http: httpx2.AsyncClient, settings: OidcSettings) -> _Provider:
    issuer = (settings.issuer or "").rstrip("/")
    answer = await http.get(f"{issuer}/.well-known/openid-configuration")
    provider = _Provider.model_validate(_parse_object(answer))
    if provider.issuer.rstrip("/") != issuer:
        raise ValueError("the discovery document is of another issuer")
    return provider


@asynccontextmanager
async def _connect() -> AsyncIterator[httpx2.AsyncClient]:
    """Provide a client for one step's requests, limited in time. Raises OidcFailed (provider-unavailable)."""
    try:
        async with asyncio.timeout(_TIMEOUT_S), httpx2.AsyncClient(timeout=_TIMEOUT_S) as http:
            yield http
    except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError, ValueError) as error:
        log.warning("the OpenID provider does not answer as the standard says: %s", type(error).__name__)
        detail = "The provider does not answer as the standard says: try again later"
        raise OidcFailed(detail, reason="provider-unavailable") from None


def _parse_object(answer: httpx2.Response) -> dict[str, Any]:
    return _OBJECT.validate_json(answer.raise_for_status().content)


def _redirect_uri(settings: Settings) -> str:
    if settings.base_url is None:
        raise OidcFailed("The server does not know its own address", reason="not-configured")
    return settings.base_url + CALLBACK_PATH
