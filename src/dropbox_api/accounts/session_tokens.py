"""The two tokens of a session, without the database.

The access token is a JWT with user and session, valid for minutes: HS256 only, `typ: at+jwt` and a fixed issuer and
audience, so that a token for another purpose is refused (RFC 8725). It is parsed only after its header was compared.
The refresh token is opaque; the database keeps only its SHA-256. The first one of a session is random, each successor a
MAC of the token for which it is issued: a repeated request gets the same answer, though no token is stored (ADR 0022).
Each carries a MAC of itself: a token that is not the newest ends its session only if this server issued it.
"""

import base64
import hashlib
import hmac
import re
import secrets
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, Self

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from dropbox_api.accounts.schemas import AuthTokens
from dropbox_api.problems import Unauthenticated
from dropbox_api.settings import AuthSettings

_ALGORITHMS = ["HS256"]
_HEADER = {"typ": "at+jwt", "alg": "HS256"}
_ISSUER = _AUDIENCE = "dropbox-api"
_LEEWAY_S = 5
"""How far the clocks of two servers of one installation may differ."""

CookieTransport = Literal["cookie", "temporary-cookie"]
SessionTransport = Literal["bearer"] | CookieTransport
"""How a client keeps its refresh token: by itself, or in a cookie, which a browser may delete when it closes."""

REFRESH_KEY = "refresh token"
"""The purpose of the key of refresh tokens."""
_HALF_BYTES = 16
_REFRESH = re.compile(r"([0-9a-f]{32})\.([1-9][0-9]{0,8})\.[\w-]{43}", re.ASCII)


class Identity(NamedTuple):
    """The claims of an access token. The database decides whether the session is still live."""

    user_id: uuid.UUID
    session_id: uuid.UUID


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """`text` is `<session id>.<generation>.<128 secret bits and their MAC>`; the generation counts rotations from 1."""

    session_id: uuid.UUID
    generation: int
    text: str

    @classmethod
    def new(cls, key: bytes, session_id: uuid.UUID) -> Self:
        return cls._join(key, session_id, 1, secrets.token_bytes(_HALF_BYTES))

    @classmethod
    def _join(cls, key: bytes, session_id: uuid.UUID, generation: int, secret: bytes) -> Self:
        proof = _make_proof(key, session_id, generation, secret)
        encoded = base64.urlsafe_b64encode(secret + proof).rstrip(b"=").decode()
        return cls(session_id, generation, f"{session_id.hex}.{generation}.{encoded}")

    def make_successor(self, key: bytes, generation: int) -> Self:
        """Return the successor of this generation: the same one every time, and only for the holder of the key."""
        secret = hmac.digest(key, f"{generation} {self.text}".encode(), "sha256")
        return self._join(key, self.session_id, generation, secret[:_HALF_BYTES])

    def is_issued(self, key: bytes) -> bool:
        """Return whether the holder of the key made this token: its session's id and number alone make none."""
        halves = base64.urlsafe_b64decode(self.text.rpartition(".")[2] + "=")
        secret, proof = halves[:_HALF_BYTES], halves[_HALF_BYTES:]
        return hmac.compare_digest(proof, _make_proof(key, self.session_id, self.generation, secret))

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return the token; None for a text of another form."""
        found = _REFRESH.fullmatch(text)
        return cls(uuid.UUID(found[1]), int(found[2]), text) if found else None

    @property
    def sha256(self) -> bytes:
        return hashlib.sha256(self.text.encode()).digest()


def _make_proof(key: bytes, session_id: uuid.UUID, generation: int, secret: bytes) -> bytes:
    issued = f"issued {session_id.hex}.{generation}.".encode() + secret
    return hmac.digest(key, issued, "sha256")[:_HALF_BYTES]


class AccessTokens:
    """Issue and check access tokens with one key, derived from the server's secret. `clock` gives seconds of Unix time.

    The derivation separates the uses of the secret: what another part signs with it is never an access token.
    """

    def __init__(self, settings: AuthSettings, clock: Callable[[], float] = time.time) -> None:
        secret = settings.secret.get_secret_value().encode()
        self._key = OctKey.import_key(hmac.digest(secret, b"dropbox-api access token", "sha256"))
        # Every token of this server begins with this header: any other header is refused unread.
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
            "jti": secrets.token_hex(8),  # else two tokens of one second are equal, and a client cannot tell a new one
        }
        return jwt.encode(_HEADER, claims, self._key, _ALGORITHMS)

    def issue_pair(self, user_id: uuid.UUID, token: RefreshToken) -> AuthTokens:
        """Return the answer to a sign-in or refresh: the refresh token, and an access token of the same session."""
        access_token = self.issue(Identity(user_id, token.session_id))
        return AuthTokens(access_token=access_token, expires_in=self.ttl_s, refresh_token=token.text, user_id=user_id)

    def require(self, token: str) -> Identity:
        """Return the identity in a token.

        Raises Unauthenticated unless this server signed it, it is an access token, and it has not expired.
        """
        if not token.startswith(self._header):
            raise Unauthenticated
        try:
            claims = jwt.decode(token, self._key, _ALGORITHMS).claims
            self._claims.validate(claims)
            return Identity(uuid.UUID(str(claims["sub"])), uuid.UUID(str(claims["sid"])))
        except (JoseError, ValueError) as error:
            raise Unauthenticated from error
