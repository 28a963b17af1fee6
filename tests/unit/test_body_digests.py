"""Digests of a body in its headers, against the examples of their RFCs."""

import base64
import contextlib
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dropbox_api.core.body_digests import BadDigest, BodyDigests

HELLO = b'{"hello": "world"}\n'
"""The body of RFC 9530's examples."""
RFC_SHA_256 = "RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg="


def encode(algorithm: str, data: bytes) -> str:
    return base64.b64encode(hashlib.new(algorithm, data).digest()).decode()


def find_mismatch(headers: dict[str, str], data: bytes) -> str | None:
    digests = BodyDigests(headers)
    for byte in data:
        digests.update(bytes([byte]))
    return digests.find_mismatch()


MD5, SHA_512 = encode("md5", HELLO), encode("sha512", HELLO)
RIGHT: list[dict[str, str]] = [
    {},
    {"Content-Digest": f"sha-256=:{RFC_SHA_256}:"},
    {"Repr-Digest": f"sha-512=:{SHA_512}:, sha-256=:{RFC_SHA_256}:"},
    {"Content-Digest": f"SHA-256 = :{RFC_SHA_256}: ;q=1"},
    {"Content-Digest": "crc32c=:AAAA:, unknown=whatever"},
    {"Digest": f"SHA-256={RFC_SHA_256},md5={MD5}, unixsum=30637"},
    {"Digest": f"sha={encode('sha1', HELLO)}"},
    {"Content-MD5": MD5},
]


@pytest.mark.parametrize("headers", RIGHT)
def test_right_digest_matches_its_body_only(headers: dict[str, str]) -> None:
    assert find_mismatch(headers, HELLO) is None
    is_checked = headers and "unknown" not in str(headers)
    assert find_mismatch(headers, HELLO + b"x") == (next(iter(headers)) if is_checked else None)


def test_one_wrong_digest_among_right_ones_is_a_mismatch() -> None:
    wrong = {"Content-Digest": f"sha-256=:{RFC_SHA_256}:", "Content-MD5": encode("md5", b"other")}
    assert find_mismatch(wrong, HELLO) == "Content-MD5"


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Content-Digest", ""),
        ("Content-Digest", "sha-256"),
        ("Content-Digest", f"sha-256={RFC_SHA_256}"),
        ("Content-Digest", "sha-256=:"),
        ("Content-Digest", "sha-256=::"),
        ("Content-Digest", "sha-256=:é:"),
        ("Content-Digest", f"sha-256=:!{RFC_SHA_256}:"),
        ("Content-MD5", f"{MD5[:4]} {MD5[4:]}"),
        ("Repr-Digest", f"sha-512=:{RFC_SHA_256}:"),
        ("Digest", f"SHA-256={RFC_SHA_256},"),
        ("Digest", "MD5=0123456789abcdef0123456789abcdef"),
        ("Content-MD5", "0123456789abcdef0123456789abcdef"),
        ("Content-MD5", "d41d8cd98f00b204e9800998ecf8427e"),
    ],
)
def test_malformed_digest_is_refused_with_its_header(header: str, value: str) -> None:
    with pytest.raises(BadDigest) as error:
        BodyDigests({header: value})
    assert error.value.header == header


@given(st.sampled_from(["Content-Digest", "Repr-Digest", "Digest", "Content-MD5"]), st.text())
def test_any_header_is_read_or_refused(header: str, value: str) -> None:
    with contextlib.suppress(BadDigest):
        assert BodyDigests({header: value}).find_mismatch() in {header, None}
