"""The two tokens of a sign-in. No database here.

The access token is a JWT that says who and which session, for minutes: HS256 only, `typ: at+jwt` and a fixed issuer and
audience, so that no token made for another purpose passes (RFC 8725). Nothing of it is parsed before it is known to be
ours. The refresh token is opaque and random; the database keeps its SHA-256 alone.
"""

import hashlib
import hmac
import re
import secrets
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Self

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from dropbox_api.problems import Unauthenticated
from dropbox_api.settings import AuthSettings

_ALGORITHMS = ["HS256"]
_HEADER = {"typ": "at+jwt", "alg": "HS256"}
_ISSUER = _AUDIENCE = "dropbox-api"
_LEEWAY_S = 5
"""How far the clocks of two of our servers may differ."""

_REFRESH = re.compile(r"([0-9a-f]{32})\.([1-9][0-9]{0,8})\.[\w-]{43}", re.ASCII)


class Identity(NamedTuple):
    """What an access token says; whether it still holds, the database knows."""

    user_id: uuid.UUID
    session_id: uuid.UUID


class AccessTokens:
    """Issue and check access tokens with one key, derived from the server's secret. `clock` gives seconds of Unix time.

    The derivation keeps the uses of the secret apart: what another part signs with it is never an access token.
    """

    def __init__(self, settings: AuthSettings, clock: Callable[[], float] = time.time) -> None:
        secret = settings.secret.get_secret_value().encode()
        self._key = OctKey.import_key(hmac.digest(secret, b"dropbox-api access token", "sha256"))
        # Every token of ours begins so: whatever else a header may ask for is refused unread.
        self._header = jwt.encode(_HEADER, {}, self._key, _ALGORITHMS).partition(".")[0] + "."
        self._clock = clock
        self._claims = jwt.JWTClaimsRegistry(
            now=lambda: int(clock()),
            leeway=_LEEWAY_S,
            iss={"essential": True, "value": _ISSUER},
            aud={"essential": True, "value": _AUDIENCE},
            sub={"essential": True},
            sid={"essential": True},
            iat={"essential": True},
            exp={"essential": True},
        )
        self.ttl_s = settings.access_ttl_s

    def issue(self, identity: Identity) -> str:
        now = int(self._clock())
        claims = {
            "iss": _ISSUER,
            "aud": _AUDIENCE,
            "sub": str(identity.user_id),
            "sid": str(identity.session_id),
            "iat": now,
            "exp": now + self.ttl_s,
        }
        return jwt.encode(_HEADER, claims, self._key, _ALGORITHMS)

    def require(self, token: str) -> Identity:
        """Return what the token says.

        Raises Unauthenticated unless we signed it, it is an access token, and it has not expired.
        """
        if not token.startswith(self._header):
            raise Unauthenticated
        try:
            claims = jwt.decode(token, self._key, _ALGORITHMS).claims
            self._claims.validate(claims)
            return Identity(uuid.UUID(str(claims["sub"])), uuid.UUID(str(claims["sid"])))
        except (JoseError, ValueError) as error:
            raise Unauthenticated from error


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """`text` is `<session id>.<generation>.<256 random bits>`; the generation counts the rotations from 1."""

    session_id: uuid.UUID
    generation: int
    text: str

    @classmethod
    def new(cls, session_id: uuid.UUID, generation: int = 1) -> Self:
        return cls(session_id, generation, f"{session_id.hex}.{generation}.{secrets.token_urlsafe(32)}")

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return the token, None if the text is none of ours."""
        found = _REFRESH.fullmatch(text)
        return cls(uuid.UUID(found[1]), int(found[2]), text) if found else None

    @property
    def sha256(self) -> bytes:
        return hashlib.sha256(self.text.encode()).digest()
