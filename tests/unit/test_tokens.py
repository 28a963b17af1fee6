"""Access tokens: only unaltered tokens of this server are accepted. Refresh tokens: shape and hash."""

import hashlib
import hmac
import string
import uuid
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from dropbox_api.accounts.session_tokens import AccessTokens, Identity, RefreshToken
from dropbox_api.problems import Unauthenticated
from dropbox_api.settings import AuthSettings

NOW = 1_800_000_000
IDENTITY = Identity(uuid.UUID(int=1), uuid.UUID(int=2))
SECRET = "0123456789abcdef0123456789abcdef"
SETTINGS = AuthSettings.model_validate({"secret": SECRET, "access_ttl_s": 900})
KEY = OctKey.import_key(hmac.digest(SECRET.encode(), b"dropbox-api access token", "sha256"))
HEADER = {"typ": "at+jwt", "alg": "HS256"}
CLAIMS = {
    "iss": "dropbox-api",
    "aud": "dropbox-api",
    "sub": str(IDENTITY.user_id),
    "sid": str(IDENTITY.session_id),
    "iat": NOW,
    "exp": NOW + 900,
}


def tokens(now: float = NOW) -> AccessTokens:
    return AccessTokens(SETTINGS, clock=lambda: now)


def signed(header: dict[str, Any] = {}, claims: dict[str, Any] = {}, key: OctKey = KEY) -> str:  # noqa: B006
    """Return a token with this header and these claims, under the key of the server; omit members that are None."""
    header = {name: value for name, value in (HEADER | header).items() if value is not None}
    claims = {name: value for name, value in (CLAIMS | claims).items() if value is not None}
    return jwt.encode(header, claims, key, [header["alg"]], default_type=None)


def is_refused(token: str, now: float = NOW) -> bool:
    try:
        tokens(now).require(token)
    except Unauthenticated:
        return True
    return False


def test_issued_token_is_accepted_under_the_same_secret() -> None:
    assert tokens().require(tokens().issue(IDENTITY)) == IDENTITY
    assert tokens().require(signed()) == IDENTITY


def test_tokens_issued_in_one_second_differ() -> None:
    """A client that was refused one tells by this that it has another one."""
    assert tokens().issue(IDENTITY) != tokens().issue(IDENTITY)


@pytest.mark.parametrize(("age_s", "expired"), [(0, False), (899, False), (904, False), (905, True), (10**9, True)])
def test_token_expires_after_its_lifetime_and_five_seconds_of_leeway(age_s: int, expired: bool) -> None:
    assert is_refused(tokens().issue(IDENTITY), NOW + age_s) is expired


def test_token_with_one_changed_character_is_refused() -> None:
    token = tokens().issue(IDENTITY)
    for at, character in enumerate(token):
        # Neighbours in the base64 alphabet change, in the last character, only unused bits.
        for other in {chr(ord(character) ^ 1), chr(ord(character) + 1), "A", "_", "=", ".", " ", "!", "é", "\0"}:
            changed = token[:at] + other + token[at + 1 :]
            assert changed == token or is_refused(changed), (at, other)


def test_shortened_or_extended_token_is_refused() -> None:
    token = tokens().issue(IDENTITY)
    for at in range(len(token)):
        assert is_refused(token[:at])
        assert is_refused(token[at + 1 :])
    for extra in [*string.whitespace, "=", "A", ".", ".A"]:
        assert is_refused(token + extra)
        assert is_refused(extra + token)


@pytest.mark.parametrize(
    "header",
    [
        {"typ": "JWT"},
        {"typ": "AT+JWT"},
        {"typ": None},
        {"alg": "HS384"},
        {"alg": "HS512"},
        {"kid": "1"},
        {"cty": "JWT"},
    ],
)
def test_token_with_another_header_is_refused(header: dict[str, Any]) -> None:
    assert is_refused(signed(header))


@pytest.mark.parametrize("claim", CLAIMS)
def test_token_without_a_claim_is_refused(claim: str) -> None:
    assert is_refused(signed(claims={claim: None}))


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "another-service"},
        {"iss": ""},
        {"aud": "another-service"},
        {"aud": ["another-service"]},
        {"aud": {"dropbox-api": True}},
        {"sub": "admin"},
        {"sub": 1},
        {"sub": ""},
        {"sid": "all"},
        {"sid": 2},
        {"sid": [str(IDENTITY.session_id)]},
        {"exp": NOW - 10},
        {"exp": str(NOW + 900)},
        {"exp": "never"},
        {"iat": NOW + 60},
        {"nbf": NOW + 60},
    ],
)
def test_token_with_a_wrong_claim_is_refused(claims: dict[str, Any]) -> None:
    assert is_refused(signed(claims=claims))


def test_token_under_another_key_or_the_bare_secret_is_refused() -> None:
    assert is_refused(signed(key=OctKey.import_key("f" * 32)))
    assert is_refused(signed(key=OctKey.import_key(SECRET)))


@pytest.mark.parametrize("text", ["", ".", "..", "a.b.c", "null", "é" * 100, "A" * 1_000_000, "A." * 500_000])
def test_garbage_as_token_is_refused(text: str) -> None:
    assert is_refused(text)


def test_refresh_token_is_random_and_parses_to_itself() -> None:
    one, two = RefreshToken.new(b"key", IDENTITY.session_id), RefreshToken.new(b"key", IDENTITY.session_id)
    assert one.text != two.text
    assert RefreshToken.parse(one.text) == one
    assert one.sha256 == hashlib.sha256(one.text.encode()).digest()


def test_successor_depends_on_key_token_and_generation() -> None:
    token = RefreshToken.new(b"key", IDENTITY.session_id)
    successor = token.make_successor(b"key", 2)
    assert RefreshToken.parse(successor.text) == successor
    assert (successor.session_id, successor.generation) == (IDENTITY.session_id, 2)
    assert token.make_successor(b"key", 2) == successor
    others = [
        token.make_successor(b"another key", 2),
        token.make_successor(b"key", 3),
        RefreshToken.new(b"key", IDENTITY.session_id).make_successor(b"key", 2),
    ]
    secrets = {other.text.rsplit(".", 1)[1] for other in [*others, successor, token]}
    assert len(secrets) == 5


def test_issued_refresh_token_is_distinguished_from_a_forged_one() -> None:
    token = RefreshToken.new(b"key", IDENTITY.session_id)
    assert token.is_issued(b"key")
    assert token.make_successor(b"key", 7).is_issued(b"key")
    session, _, secret = token.text.split(".")
    forged = [f"{session}.2.{secret}", f"{'0' * 32}.1.{secret}", f"{session}.1.{'A' * 43}"]
    assert not any(parsed.is_issued(b"key") for text in forged if (parsed := RefreshToken.parse(text)))
    assert not token.is_issued(b"another key")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "..",
        f"{'0' * 32}.0.{'A' * 43}",
        f"{'0' * 32}.-1.{'A' * 43}",
        f"{'0' * 32}.1.{'A' * 42}",
        f"{'0' * 32}.1.{'A' * 44}",
        f"{'0' * 32}.1.{'A' * 43}\n",
        f"{'0' * 32}.{'9' * 10}.{'A' * 43}",
        f"{'g' * 32}.1.{'A' * 43}",
        f"{'0' * 32}.٣.{'A' * 43}",
        f"{'0' * 32}.1.{'é' * 43}",
    ],
)
def test_malformed_refresh_token_parses_to_none(text: str) -> None:
    assert RefreshToken.parse(text) is None
