"""Digests of a body that its headers announce, computed while the body is read. Pure.

Content-Digest and Repr-Digest (RFC 9530), Digest (RFC 3230), Content-MD5 (RFC 1864). Algorithms that a server does not
know are ignored, as the RFCs ask. Repr-Digest and Digest equal Content-Digest here, because every body is a whole
representation without content coding.
"""

import base64
import hashlib
from collections.abc import Iterator, Mapping

HEADERS = ("Content-Digest", "Repr-Digest", "Digest", "Content-MD5")

_ALGORITHMS = {"md5": "md5", "sha": "sha1", "sha-256": "sha256", "sha-512": "sha512"}


class BadDigest(ValueError):
    """The header of this name holds no digests."""

    def __init__(self, header: str) -> None:
        super().__init__(header)
        self.header = header


class BodyDigests:
    """The digests that headers announce. Raises BadDigest for a malformed header."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._announced = [
            (name, hashlib.new(algorithm, usedforsecurity=False), digest)
            for name in HEADERS
            for algorithm, digest in _parse(name, headers.get(name))
        ]

    def update(self, data: bytes) -> None:
        """Count the next bytes of the body."""
        for _, computed, _ in self._announced:
            computed.update(data)

    def find_mismatch(self) -> str | None:
        """Return the name of a header whose digest is not that of the bytes so far; None when all are right."""
        return next((name for name, computed, digest in self._announced if computed.digest() != digest), None)


def _parse(name: str, value: str | None) -> Iterator[tuple[str, bytes]]:
    """Yield algorithm and digest for each known algorithm of a header. Raises BadDigest."""
    if value is None:
        return
    if name == "Content-MD5":
        yield "md5", _decode(name, "md5", value.strip())
        return
    for member in value.split(","):
        label, separator, text = member.strip().partition("=")
        if not separator:
            raise BadDigest(name)
        algorithm = _ALGORITHMS.get(label.strip().lower())
        if algorithm is None:
            continue
        if name != "Digest":
            text = _strip_colons(name, text)
        yield algorithm, _decode(name, algorithm, text.strip())


def _strip_colons(name: str, text: str) -> str:
    """Return the base64 of a byte sequence (RFC 9651), which may have parameters. Raises BadDigest."""
    item = text.partition(";")[0].strip()
    if len(item) < len("::") or not (item.startswith(":") and item.endswith(":")):
        raise BadDigest(name)
    return item[1:-1]


def _decode(name: str, algorithm: str, text: str) -> bytes:
    try:
        digest = base64.b64decode(text, validate=True)
    except ValueError:
        raise BadDigest(name) from None
    if len(digest) != hashlib.new(algorithm, usedforsecurity=False).digest_size:
        raise BadDigest(name)
    return digest
