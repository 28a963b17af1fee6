"""The hash cache returns correct hashes or none."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from dropbox_client.transfer.hash_cache import CachedHashes, HashCache
from dropbox_client.transfer.source import Identity

NOW_NS = 1_800_000_000 * 10**9
OLD = Identity(size_bytes=16, mtime_ns=NOW_NS - 3 * 10**9, ctime_ns=NOW_NS - 3 * 10**9, inode=7, device=1)
HASHES = CachedHashes("ab" * 32, 8, ["cd" * 32, "ef" * 32])
FILE = Path("/home/ada/file")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "hashes.sqlite"


def open_cache(path: Path) -> HashCache:
    return HashCache(path, clock_ns=lambda: NOW_NS)


def test_stored_hashes_are_found_by_another_process(path: Path) -> None:
    first = open_cache(path)
    first.store(FILE, OLD, HASHES)
    first.close()
    second = open_cache(path)
    assert second.find(FILE, OLD) == HASHES
    second.close()


@pytest.mark.parametrize("member", ["size_bytes", "mtime_ns", "ctime_ns", "inode", "device"])
def test_find_with_another_identity_returns_none(path: Path, member: str) -> None:
    cache = open_cache(path)
    cache.store(FILE, OLD, HASHES)
    assert cache.find(FILE, replace(OLD, **{member: getattr(OLD, member) + 1})) is None
    assert cache.find(FILE.with_name("other"), OLD) is None
    cache.close()


@pytest.mark.parametrize("member", ["mtime_ns", "ctime_ns"])
def test_store_of_a_recently_changed_file_is_skipped(path: Path, member: str) -> None:
    racy = replace(OLD, **{member: NOW_NS - 10**9})
    cache = open_cache(path)
    cache.store(FILE, racy, HASHES)
    assert cache.find(FILE, racy) is None
    cache.close()


def test_damaged_cache_is_deleted(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(os.urandom(8192))
    broken = open_cache(path)
    assert broken.find(FILE, OLD) is None
    broken.store(FILE, OLD, HASHES)
    broken.close()
    fresh = open_cache(path)
    fresh.store(FILE, OLD, HASHES)
    assert fresh.find(FILE, OLD) == HASHES
    fresh.close()


def test_unusable_cache_path_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    cache = open_cache(tmp_path / "file" / "hashes.sqlite")
    cache.store(FILE, OLD, HASHES)
    assert cache.find(FILE, OLD) is None
    cache.close()
