"""Fingerprints: SHA-256 in the three forms of clients, Postgres and S3.

Clients and JSON use 64 lower-case hex digits, Postgres the raw 32 bytes, S3 base64. S3's composite digest of a
multipart object is a digest of digests, never the fingerprint.
Source: AWS, "Checking object integrity in Amazon S3" (composite checksums).
"""

import hashlib
import re
from base64 import b64encode
from collections.abc import Sequence

EMPTY = hashlib.sha256(b"").digest()
"""Fingerprint of the empty file, raw."""

_HEX = re.compile(r"[0-9a-f]{64}")


def parse_sha256(text: str) -> bytes:
    """Return the 32 raw bytes of a fingerprint written as exactly 64 lower-case hex digits.

    Raises: ValueError for anything else, including upper case: one fingerprint has one spelling.
    """
    if not _HEX.fullmatch(text):
        raise ValueError("a SHA-256 is written as 64 lower-case hex digits")
    return bytes.fromhex(text)


def to_base64(digest: bytes) -> str:
    """Return a raw digest as S3's headers and XML contain it (44 characters for SHA-256)."""
    return b64encode(digest).decode("ascii")


def composite_digest(digests: Sequence[bytes]) -> str:
    """Return S3's checksum of an object made of parts with these raw SHA-256 digests, in part order."""
    return f"{to_base64(hashlib.sha256(b''.join(digests)).digest())}-{len(digests)}"
