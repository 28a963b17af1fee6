"""Fingerprints against the vectors shared with the TypeScript client."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from dropbox_api.core import fingerprint

VECTORS = json.loads((Path(__file__).parents[1] / "vectors/fingerprints.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("vector", VECTORS["fingerprints"], ids=lambda vector: vector["name"])
def test_fingerprint_in_hex_and_base64_equals_the_vector(vector: dict[str, Any]) -> None:
    digest = hashlib.sha256((vector["text"] * vector["repeat"]).encode()).digest()
    assert fingerprint.parse_sha256(vector["sha256"]) == digest
    assert fingerprint.to_base64(digest) == vector["base64"]


def test_fingerprint_of_no_bytes_equals_the_vector() -> None:
    assert fingerprint.EMPTY.hex() == VECTORS["fingerprints"][0]["sha256"]


@pytest.mark.parametrize("text", VECTORS["refused"])
def test_fingerprint_in_another_spelling_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="64 lower-case hex digits"):
        fingerprint.parse_sha256(text)


@pytest.mark.parametrize("vector", VECTORS["composites"], ids=lambda vector: vector["name"])
def test_composite_digest_equals_the_vector(vector: dict[str, Any]) -> None:
    digests = [bytes.fromhex(sha256) for sha256 in vector["chunk_sha256"]]
    assert fingerprint.composite_digest(digests) == vector["composite"]
