"""Access tokens: what we signed and nothing else; refresh tokens: shape and hash."""

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
    """Sign with our own key what we would never sign; a member that is None is left out."""
    header = {name: value for name, value in (HEADER | header).items() if value is not None}
    claims = {name: value for name, value in (CLAIMS | claims).items() if value is not None}
    return jwt.encode(header, claims, key, [header["alg"]], default_type=None)


def refused(token: str, now: float = NOW) -> bool:
    try:
        tokens(now).require(token)
    except Unauthenticated:
        return True
    return False


def test_what_was_issued_is_accepted_by_every_server_with_the_secret() -> None:
    assert tokens().require(tokens().issue(IDENTITY)) == IDENTITY
    assert tokens().require(signed()) == IDENTITY


@pytest.mark.parametrize(("age_s", "expired"), [(0, False), (899, False), (904, False), (905, True), (10**9, True)])
def test_it_expires_after_its_lifetime_and_five_seconds_of_leeway(age_s: int, expired: bool) -> None:
    assert refused(tokens().issue(IDENTITY), NOW + age_s) is expired


def test_every_change_of_a_single_character_is_refused() -> None:
    token = tokens().issue(IDENTITY)
    for at, character in enumerate(token):
        # The neighbours in the base64 alphabet change, at the end, only those bits that mean nothing.
        for other in {chr(ord(character) ^ 1), chr(ord(character) + 1), "A", "_", "=", ".", " ", "!", "é", "\0"}:
            changed = token[:at] + other + token[at + 1 :]
            assert changed == token or refused(changed), (at, other)


def test_every_cut_and_every_addition_is_refused() -> None:
    token = tokens().issue(IDENTITY)
    for at in range(len(token)):
        assert refused(token[:at])
        assert refused(token[at + 1 :])
    for extra in [*string.whitespace, "=", "A", ".", ".A"]:
        assert refused(token + extra)
        assert refused(extra + token)


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
def test_no_other_header_is_accepted_though_the_key_is_ours(header: dict[str, Any]) -> None:
    assert refused(signed(header))


@pytest.mark.parametrize("claim", CLAIMS)
def test_every_claim_is_needed(claim: str) -> None:
    assert refused(signed(claims={claim: None}))


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "someone-else"},
        {"iss": ""},
        {"aud": "someone-else"},
        {"aud": ["someone-else"]},
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
def test_every_claim_is_checked(claims: dict[str, Any]) -> None:
    assert refused(signed(claims=claims))


def test_another_key_is_refused_and_so_is_the_bare_secret() -> None:
    assert refused(signed(key=OctKey.import_key("f" * 32)))
    assert refused(signed(key=OctKey.import_key(SECRET)))


@pytest.mark.parametrize("text", ["", ".", "..", "a.b.c", "null", "é" * 100, "A" * 1_000_000, "A." * 500_000])
def test_garbage_is_refused(text: str) -> None:
    assert refused(text)


def test_refresh_tokens_are_random_and_parse_to_themselves() -> None:
    one, two = RefreshToken.new(IDENTITY.session_id, 7), RefreshToken.new(IDENTITY.session_id, 7)
    assert one.text != two.text
    assert RefreshToken.parse(one.text) == one
    assert one.sha256 == hashlib.sha256(one.text.encode()).digest()


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
def test_what_is_no_refresh_token_parses_to_none(text: str) -> None:
    assert RefreshToken.parse(text) is None
