"""A cache of file hashes: a resumed or repeated upload does not read the file again.

A row is valid for one identity of a path. Files changed in the last two seconds are not cached: on a file system with
coarse time stamps they could change again undetected (git calls such entries racy). A lost cache costs only time, so
all its failures are ignored.
"""

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from dropbox_client.transfer.source import Identity

_RACY_NS = 2_000_000_000
_MAX_ROWS = 20_000
_SCHEMA = """
CREATE TABLE IF NOT EXISTS hashes (
  path TEXT PRIMARY KEY, identity TEXT NOT NULL, fingerprint TEXT NOT NULL,
  chunk_size_bytes INTEGER NOT NULL, chunks BLOB NOT NULL, used_at REAL NOT NULL
) WITHOUT ROWID
"""


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CachedHashes:
    fingerprint: str
    chunk_size_bytes: int
    chunks: Sequence[str]
    """SHA-256 of each chunk of that size, in order."""


class HashCache:
    """Hashes by path and identity in one SQLite file. Safe for several threads and processes."""

    def __init__(self, path: Path, *, clock_ns: Callable[[], int] = time.time_ns) -> None:
        self._path = path
        self._clock_ns = clock_ns
        self._lock = threading.Lock()
        self._database: sqlite3.Connection | None = None
        self._is_disabled = False

    def find(self, path: Path, identity: Identity) -> CachedHashes | None:
        """Return the hashes of the absolute `path` if they were stored for this identity."""

        def read(database: sqlite3.Connection) -> CachedHashes | None:
            row = database.execute(
                "UPDATE hashes SET used_at = ? WHERE path = ? AND identity = ?"
                " RETURNING fingerprint, chunk_size_bytes, chunks",
                (self._clock_ns() / 1e9, str(path), _key(identity)),
            ).fetchone()
            if not row:
                return None
            digits: str = row[2].hex()
            return CachedHashes(row[0], row[1], [digits[i : i + 64] for i in range(0, len(digits), 64)])

        return self._run(read)

    def store(self, path: Path, identity: Identity, hashes: CachedHashes) -> None:
        """Store hashes computed from a file of this identity, unless it changed too recently."""
        if self._clock_ns() - max(identity.mtime_ns, identity.ctime_ns) < _RACY_NS:
            return

        def write(database: sqlite3.Connection) -> None:
            chunks = bytes.fromhex("".join(hashes.chunks))
            row = (
                str(path),
                _key(identity),
                hashes.fingerprint,
                hashes.chunk_size_bytes,
                chunks,
                self._clock_ns() / 1e9,
            )
            database.execute("INSERT OR REPLACE INTO hashes VALUES (?, ?, ?, ?, ?, ?)", row)
            database.execute(
                "DELETE FROM hashes WHERE path IN (SELECT path FROM hashes ORDER BY used_at DESC LIMIT -1 OFFSET ?)",
                (_MAX_ROWS,),
            )

        self._run(write)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        with self._lock:
            if self._database:
                self._database.close()
            self._database, self._is_disabled = None, True

    def _run(self, work: Callable[[sqlite3.Connection], T]) -> T | None:
        with self._lock:
            if self._is_disabled:
                return None
            try:
                with self._open() as database:
                    return work(database)
            except sqlite3.OperationalError:  # locked, read-only or full: skip the cache this time
                return None
            except (sqlite3.DatabaseError, OSError, ValueError):
                self._is_disabled = True
                self._discard()
                return None

    def _open(self) -> sqlite3.Connection:
        if self._database is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(self._path, timeout=2, check_same_thread=False)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = OFF")
            self._database.execute(_SCHEMA)
        return self._database

    def _discard(self) -> None:
        if self._database:
            self._database.close()
            self._database = None
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)


def _key(identity: Identity) -> str:
    return f"{identity.size_bytes} {identity.mtime_ns} {identity.ctime_ns} {identity.inode} {identity.device}"
