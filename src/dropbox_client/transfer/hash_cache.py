"""A cache of file hashes: a resumed or repeated upload does not read the file again.

A row is valid for one identity of a path. Files changed in the last two seconds are not cached: on a file system with
coarse time stamps they could change again undetected (git calls such entries racy). A lost cache costs only time, so
all its failures are ignored.
"""

import contextlib
import sqlite3
import threading
import time
from array import array
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from dropbox_client.transfer.chunks import Chunks, Hashes
from dropbox_client.transfer.source import Identity

_RACY_NS = 2_000_000_000
_MAX_ROWS = 20_000
_SCHEMA = """
CREATE TABLE IF NOT EXISTS chunk_hashes (
  path TEXT PRIMARY KEY, identity TEXT NOT NULL, fingerprint TEXT NOT NULL,
  chunking TEXT NOT NULL, ends BLOB NOT NULL, hashes BLOB NOT NULL, used_at REAL NOT NULL
) WITHOUT ROWID
"""


T = TypeVar("T")


class HashCache:
    """Hashes by path and identity in one SQLite file. Safe for several threads and processes."""

    def __init__(self, path: Path, *, clock_ns: Callable[[], int] = time.time_ns) -> None:
        self._path = path
        self._clock_ns = clock_ns
        self._lock = threading.Lock()
        self._database: sqlite3.Connection | None = None
        self._is_disabled = False

    def find(self, path: Path, identity: Identity) -> Hashes | None:
        """Return the hashes of the absolute `path` if they were stored for this identity."""

        def read(database: sqlite3.Connection) -> Hashes | None:
            row = database.execute(
                "UPDATE chunk_hashes SET used_at = ? WHERE path = ? AND identity = ?"
                " RETURNING fingerprint, chunking, ends, hashes",
                (self._clock_ns() / 1e9, str(path), _key(identity)),
            ).fetchone()
            if not row:
                return None
            fingerprint, chunking, ends, digests = row
            digits: str = digests.hex()
            chunks = {number: digits[64 * number - 64 : 64 * number] for number in range(1, len(digests) // 32 + 1)}
            hashes = Hashes(Chunks(identity.size_bytes, chunking, array("Q", ends)), chunks, fingerprint)
            return hashes if hashes.is_complete else None

        return self._run(read)

    def store(self, path: Path, identity: Identity, hashes: Hashes) -> None:
        """Store the complete hashes of a file of this identity, unless it changed too recently."""
        if self._clock_ns() - max(identity.mtime_ns, identity.ctime_ns) < _RACY_NS:
            return

        def write(database: sqlite3.Connection) -> None:
            numbers = range(1, hashes.plan.count + 1)
            row = (
                str(path),
                _key(identity),
                hashes.fingerprint,
                hashes.plan.chunking,
                array("Q", map(hashes.plan.end, numbers)).tobytes(),
                bytes.fromhex("".join(hashes.chunks[number] for number in numbers)),
                self._clock_ns() / 1e9,
            )
            database.execute("INSERT OR REPLACE INTO chunk_hashes VALUES (?, ?, ?, ?, ?, ?, ?)", row)
            database.execute(
                "DELETE FROM chunk_hashes WHERE path IN"
                " (SELECT path FROM chunk_hashes ORDER BY used_at DESC LIMIT -1 OFFSET ?)",
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
            self._database.execute("DROP TABLE IF EXISTS hashes")  # of earlier versions, for fixed chunks only
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
