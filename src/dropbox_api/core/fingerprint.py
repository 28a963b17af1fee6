"""Fingerprints: SHA-256 in the three spellings that clients, Postgres and S3 want.

Clients and JSON speak 64 lower-case hex digits, Postgres keeps the raw 32 bytes, S3 wants base64. The composite digest
is S3's word for a multipart object; it is a digest of digests and never the fingerprint.
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

    Raises: ValueError for anything else, upper case too: one fingerprint has one spelling.
    """
    if not _HEX.fullmatch(text):
        raise ValueError("a SHA-256 is written as 64 lower-case hex digits")
    return bytes.fromhex(text)


def to_base64(digest: bytes) -> str:
    """Spell a raw digest as S3's headers and XML do (44 characters for SHA-256)."""
    return b64encode(digest).decode("ascii")


def composite_digest(digests: Sequence[bytes]) -> str:
    """Return what S3 reports for an object made of parts with these raw SHA-256 digests, in part order."""
    return f"{to_base64(hashlib.sha256(b''.join(digests)).digest())}-{len(digests)}"
