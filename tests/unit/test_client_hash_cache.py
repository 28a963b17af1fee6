"""The hash cache returns correct hashes or none."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from dropbox_client.transfer.chunks import Chunks, Hashes, fixed
from dropbox_client.transfer.hash_cache import HashCache
from dropbox_client.transfer.source import Identity

NOW_NS = 1_800_000_000 * 10**9
OLD = Identity(size_bytes=16, mtime_ns=NOW_NS - 3 * 10**9, ctime_ns=NOW_NS - 3 * 10**9, inode=7, device=1)
HASHES = Hashes(Chunks(16, fixed(8)), {1: "cd" * 32, 2: "ef" * 32}, "ab" * 32)
FILE = Path("/home/ada/file")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "hashes.sqlite"


def open_cache(path: Path) -> HashCache:
    return HashCache(path, clock_ns=lambda: NOW_NS)


@pytest.mark.parametrize("plan", [Chunks(16, fixed(8)), Chunks(16, "cdc1", [11, 16])])
def test_stored_hashes_are_found_by_another_process(path: Path, plan: Chunks) -> None:
    first = open_cache(path)
    first.store(FILE, OLD, replace(HASHES, plan=plan))
    first.close()
    second = open_cache(path)
    found = second.find(FILE, OLD)
    second.close()
    assert found is not None
    assert (found.fingerprint, found.chunks) == (HASHES.fingerprint, HASHES.chunks)
    assert found.plan.chunking == plan.chunking
    assert [found.plan.end(number) for number in (1, 2)] == [plan.end(number) for number in (1, 2)]


def test_hashes_of_a_plan_that_does_not_cover_the_file_are_not_found(path: Path) -> None:
    cache = open_cache(path)
    cache.store(FILE, OLD, replace(HASHES, plan=Chunks(16, "cdc1", [11, 15])))
    assert cache.find(FILE, OLD) is None
    cache.close()


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
    assert fresh.find(FILE, OLD)
    fresh.close()


def test_unusable_cache_path_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    cache = open_cache(tmp_path / "file" / "hashes.sqlite")
    cache.store(FILE, OLD, HASHES)
    assert cache.find(FILE, OLD) is None
    cache.close()
