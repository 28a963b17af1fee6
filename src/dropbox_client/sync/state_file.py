"""The SQLite file of the state: its tables, and how it is opened (rule 13).

All durable facts of a root are in this file: what was observed on both sides, what both agreed on, and the actions that
were begun. Everything else follows from it. A damaged file is set aside and replaced by an empty one, which is safe:
without base rows nothing is deleted, and both trees are united by their hashes.

Triggers record in `changed` each node of which a row differs from before, so that a plan reads these nodes and those
around them, not all.
"""

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

from dropbox_client.errors import ClientError

_APPLICATION_ID = 0x64627873  # "dbxs"
_VERSION = 1
STATE_NAME: Final = "state.db"
"""The name of the state in the private folder of its root."""
ROOT_CHILD: Final = 1
"""The number of the root folder, in whose `dir` the entries of the root are."""
LIMBO: Final = -1
"""The `dir` of rows whose name another entry has by now, until a scan finds where their entry is."""

# A folder is a row of its parent like any other entry; `child` is its number, which stays the same when it is renamed.
# The index on `child` holds the primary key, so that it leads to the parent and the name.
_SCHEMA = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID",
    """CREATE TABLE local (
        dir INTEGER NOT NULL, name BLOB NOT NULL, kind TEXT NOT NULL, inode INTEGER NOT NULL, mode INTEGER NOT NULL,
        size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL, birth_ns INTEGER, child INTEGER,
        id TEXT NOT NULL, fp BLOB, status TEXT NOT NULL DEFAULT 'ok', reason TEXT NOT NULL DEFAULT '',
        PRIMARY KEY (dir, name)
    ) WITHOUT ROWID""",
    "CREATE UNIQUE INDEX local_id ON local (id)",
    "CREATE UNIQUE INDEX local_child ON local (child) WHERE child IS NOT NULL",
    "CREATE INDEX local_inode ON local (inode)",
    """CREATE TABLE base (
        id TEXT PRIMARY KEY, parent TEXT, name TEXT NOT NULL, local_name BLOB NOT NULL, kind TEXT NOT NULL, fp BLOB,
        size INTEGER, revision TEXT, version INTEGER NOT NULL, executable INTEGER NOT NULL
    ) WITHOUT ROWID""",
    "CREATE INDEX base_parent ON base (parent)",
    """CREATE TABLE remote (
        id TEXT PRIMARY KEY, parent TEXT, name TEXT NOT NULL, kind TEXT NOT NULL, fp BLOB, size INTEGER, revision TEXT,
        version INTEGER NOT NULL, executable INTEGER NOT NULL, content_status TEXT, refused INTEGER NOT NULL DEFAULT 0,
        modified_at TEXT, seen INTEGER NOT NULL
    ) WITHOUT ROWID""",
    "CREATE INDEX remote_parent ON remote (parent)",
    "CREATE TABLE relists (root TEXT PRIMARY KEY) WITHOUT ROWID",
    "CREATE TABLE fates (id TEXT PRIMARY KEY, fate TEXT NOT NULL) WITHOUT ROWID",
    """CREATE TABLE mounts (
        root TEXT PRIMARY KEY, parent TEXT, name TEXT NOT NULL, access TEXT NOT NULL, is_active INTEGER NOT NULL
    ) WITHOUT ROWID""",
    "CREATE TABLE intents (number INTEGER PRIMARY KEY, at REAL NOT NULL, kind TEXT NOT NULL, detail TEXT NOT NULL)",
    """CREATE TABLE conflicts (
        number INTEGER PRIMARY KEY, at REAL NOT NULL, node TEXT NOT NULL, path TEXT NOT NULL, copy TEXT NOT NULL
    )""",
    "CREATE TABLE questions (id TEXT PRIMARY KEY, kind TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE answers (id TEXT PRIMARY KEY, answer TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE changed (id TEXT PRIMARY KEY) WITHOUT ROWID",
    *(
        f"CREATE TRIGGER {table}_{event} AFTER {event}{columns} ON {table}{condition}"
        f" BEGIN INSERT INTO changed SELECT new_ids.id FROM ({ids}) AS new_ids WHERE new_ids.id NOT IN changed; END"
        for table, compared in (
            ("local", ("dir", "name", "kind", "mode", "size", "id", "fp", "status")),
            ("base", ("parent", "name", "local_name", "kind", "fp", "size", "executable")),
            ("remote", ("parent", "name", "kind", "fp", "size", "executable", "content_status", "refused")),
        )
        for event, columns, condition, ids in (
            ("INSERT", "", "", "SELECT new.id AS id"),
            ("DELETE", "", "", "SELECT old.id AS id"),
            (
                "UPDATE",
                f" OF {', '.join(compared)}",
                f" WHEN {' OR '.join(f'old.{column} IS NOT new.{column}' for column in compared)}",
                "SELECT old.id AS id UNION SELECT new.id",
            ),
        )
    ),
    "CREATE TRIGGER remote_returns AFTER INSERT ON remote BEGIN DELETE FROM fates WHERE id = new.id; END",
    "CREATE TRIGGER base_ends AFTER DELETE ON base BEGIN DELETE FROM fates WHERE id = old.id; END",
    "INSERT INTO meta VALUES ('counter', 1), ('generation', 0)",
    f"PRAGMA application_id = {_APPLICATION_ID}",
    f"PRAGMA user_version = {_VERSION}",
)


def open_database(path: Path, clock: Callable[[], float] = time.time) -> tuple[sqlite3.Connection, Path | None]:
    """Open the state, created if missing; also return where a damaged file was moved to.

    Raises ClientError for a file of another program or of a newer version, and where there is no space.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        return _open(path), None
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):  # locked, no space, no permission: the file may be good
            raise ClientError(f"{path}: {error}") from error
        aside = path.with_name(f"{path.name}.damaged-{int(clock())}")
        # The main file last: a kill before leaves a file that is found damaged again.
        for suffix in ("-wal", "-shm", ""):
            with suppress(FileNotFoundError):
                path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
        return _open(path), aside


@contextmanager
def read_database(path: Path) -> Iterator[sqlite3.Connection | None]:
    """Open a state read-only, also while an engine uses it; None if there is none yet.

    Raises ClientError where it cannot be read, in the block as well.
    """
    if not path.exists():
        yield None
        return
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5)) as database:
            yield database
    except sqlite3.Error as error:
        raise ClientError(f"the state cannot be read: {error}") from error


def _open(path: Path) -> sqlite3.Connection:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # private: it holds the names of all files
    database = sqlite3.connect(path, isolation_level=None, timeout=5, cached_statements=256)
    try:
        _prepare(database, path)
    except BaseException:
        database.close()
        raise
    return database


def _prepare(database: sqlite3.Connection, path: Path) -> None:
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "cache_size = -32000", "mmap_size = 0"):
        database.execute(f"PRAGMA {pragma}")
    database.execute("BEGIN IMMEDIATE")
    (application_id,) = database.execute("PRAGMA application_id").fetchone()
    (version,) = database.execute("PRAGMA user_version").fetchone()
    (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if not application_id and not tables:
        for statement in _SCHEMA:
            database.execute(statement)
    elif application_id != _APPLICATION_ID:
        raise ClientError(f"{path} is not a state of `dbx sync`")
    elif version != _VERSION:
        raise ClientError(f"{path} was written by a newer dbx: update this one")
    database.execute("COMMIT")
    faults = database.execute("PRAGMA quick_check(1)").fetchone()
    if faults != ("ok",):
        raise sqlite3.DatabaseError(str(faults[0]))
