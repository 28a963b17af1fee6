"""Content-defined chunks of the client, against the vectors that TypeScript shares."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from dropbox_client.transfer.cdc import MAX_BYTES, MIN_BYTES, cut_bytes

VECTORS: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "vectors" / "cdc1.json").read_text())["cuts"]
LARGEST = max(vector["size_bytes"] for vector in VECTORS)


@pytest.fixture(scope="module")
def hashes() -> bytes:
    """The SHA-256 of 0, 1, 2, ... as 8 bytes, one after the other."""
    return b"".join(hashlib.sha256(number.to_bytes(8)).digest() for number in range(LARGEST // 32))


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: f"{vector['content']}-{vector['size_bytes']}")
def test_contents_are_cut_as_the_shared_vectors_say(vector: dict[str, Any], hashes: bytes) -> None:
    content = hashes if vector["content"] == "hashes" else bytes(LARGEST)
    assert list(cut_bytes(content[: vector["size_bytes"]])) == vector["chunks"]


@pytest.mark.parametrize("position", [0, 1, 6_000_000, 20_000_000, LARGEST])
def test_insertion_changes_the_chunks_around_it_alone(position: int, hashes: bytes) -> None:
    before = list_chunks(hashes)
    after = list_chunks(hashes[:position] + b"x" + hashes[position:])
    assert len(set(after) - set(before)) <= 2


@pytest.mark.parametrize("content", [b"\0", b"ab", bytes(range(256)), b"\xff\0\0"])
def test_repetitive_content_has_legal_parts(content: bytes) -> None:
    sizes = list(cut_bytes(content * (50_000_000 // len(content))))
    assert sum(sizes) == 50_000_000 // len(content) * len(content)
    assert all(MIN_BYTES <= size <= MAX_BYTES for size in sizes[:-1])
    assert 0 < sizes[-1] <= MAX_BYTES


def list_chunks(content: bytes) -> list[bytes]:
    """Return the SHA-256 of each chunk."""
    digests = []
    offset = 0
    for size in cut_bytes(content):
        digests.append(hashlib.sha256(content[offset : offset + size]).digest())
        offset += size
    return digests
