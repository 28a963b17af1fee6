"""The last known state of a watched tree, and the position up to which its events are settled.

An event of a deleted file has an id and no path. To decide whether it concerns the tree, every file and folder is
recorded with its parent and name until it leaves the tree or is permanently deleted; items in the trash are kept, since
they may be restored. The ancestors of the tree are recorded too: a change of an ancestor changes the tree and has no
other event. The state is one SQLite file, or in memory.

Invariants: `settle` commits tree and position together; after a kill the last commit is effective, and later events are
processed again. Old paths are committed before the command runs (`begun`): a repeated event shows its file as it is by
then, and the old path would be lost.
"""

import os
import sqlite3
from collections.abc import Iterable
from dataclasses import replace
from types import TracebackType
from typing import Self

from dropbox_client.cli import remote
from dropbox_client.client import Client
from dropbox_client.errors import ApiError, ClientError, Usage
from dropbox_client.models import Event, File

_APPLICATION_ID = 0x64627877  # "dbxw"
_SCHEMA = (
    f"PRAGMA application_id = {_APPLICATION_ID}",
    "CREATE TABLE watched (server TEXT NOT NULL, place TEXT NOT NULL, top_id TEXT NOT NULL, top_place TEXT NOT NULL,"
    " cursor TEXT NOT NULL)",
    "CREATE TABLE nodes (id TEXT PRIMARY KEY, parent_id TEXT, name TEXT NOT NULL) WITHOUT ROWID",
    "CREATE INDEX nodes_parent_id ON nodes (parent_id)",
    "CREATE TABLE above (id TEXT PRIMARY KEY) WITHOUT ROWID",
    "CREATE TABLE begun (event_id TEXT PRIMARY KEY, file_id TEXT NOT NULL, place TEXT) WITHOUT ROWID",
    "CREATE TABLE settled (event_id TEXT PRIMARY KEY) WITHOUT ROWID",
)
_WHOLE_TREE_KINDS = frozenset(
    {
        "file.renamed",
        "file.moved",
        "file.trashed",
        "file.restored",
        "file.deleted",
        "share.granted",
        "share.revoked",
    }
)
"""Kinds of events of a folder that change all its contents."""
_RETURN_KINDS = frozenset({"file.moved", "file.restored", "share.granted"})
_DELETE_SUBTREE = """
WITH RECURSIVE below(id) AS (
  SELECT ? UNION SELECT nodes.id FROM below JOIN nodes ON nodes.parent_id = below.id
)
DELETE FROM nodes WHERE id IN (SELECT id FROM below)
"""


class WatchedTree:
    """A watched file or folder on the server with its contents. Not thread-safe.

    A context manager that closes the database; it turns an SQLite error into ClientError.
    """

    def __init__(self, path: str | None = None) -> None:
        """Open the state file `path`, created if missing; None: in memory. Raises ClientError, Usage."""
        self._path = path or ""
        try:
            if path is not None:
                os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # private: it contains file names
            self._database = sqlite3.connect(self._path, isolation_level=None, timeout=0)
            self._prepare()
        except (OSError, sqlite3.Error) as error:
            raise self._explain(error) from error
        self._top_id = self._top_path = ""
        self._is_top_owned = False
        self._top_cached: File | None = None
        self._is_top_cached = False

    def _prepare(self) -> None:
        for statement in ("PRAGMA locking_mode = EXCLUSIVE", "PRAGMA synchronous = FULL", "BEGIN IMMEDIATE"):
            self._database.execute(statement)
        (application_id,) = self._database.execute("PRAGMA application_id").fetchone()
        (tables,) = self._database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if not application_id and not tables:
            for statement in _SCHEMA:
                self._database.execute(statement)
        elif application_id != _APPLICATION_ID:
            raise Usage(f"{self._path} is not a state file of `dbx watch`")
        self._database.execute("COMMIT")

    def _explain(self, error: Exception) -> ClientError:
        if "locked" in str(error):
            return ClientError(f"{self._path} is in use by another `dbx watch`")
        return ClientError(f"{self._path or 'state in memory'}: {error}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._database.close()
        if isinstance(error, sqlite3.Error):  # the disk is full, or the file damaged
            raise self._explain(error) from error

    # Start

    def open(self, client: Client, path: str, *, cursor: str | None = None) -> str | None:
        """Load the stored tree of `path` and return its cursor, or record the current tree and return None.

        `cursor` must be older than the current tree; it is recorded with it.
        Raises: Usage if the state belongs to another path; exceptions of `remote.get_file`.
        """
        row = self._database.execute("SELECT server, place, top_id, top_place, cursor FROM watched").fetchone()
        if row:
            if row[:2] != (client.base_url, path):
                raise Usage(f"{self._path} is the state of watching {row[1]} at {row[0]}")
            self._top_id, self._top_path = row[2:4]
            stored: str = row[4]
            return stored
        top = remote.get_file(client, path)
        self._top_id, self._top_path = top.id, remote.format_path(top)
        self._is_top_owned = top.role == "owner"
        self._begin()
        self._record([top])
        self._record_ancestors(client, top)
        if top.kind == "folder":
            self._record(client.files.list(top, recursive=True))
        row = (client.base_url, path, self._top_id, self._top_path, cursor or "")
        self._database.execute("INSERT INTO watched VALUES (?, ?, ?, ?, ?)", row)
        self._database.execute("COMMIT")
        return None

    def add_trash(self, client: Client) -> None:
        """Record the trashed items of the tree too, so that earlier events of them concern it."""
        if not self._is_top_owned:
            return
        self._begin()
        # Last deleted first: an item deleted before its folder comes after that folder.
        for file in client.trash.list():
            if self._is_known(file.parent_id):
                self._record([file])
        self._database.execute("COMMIT")

    @property
    def size(self) -> int:
        """The number of recorded files and folders."""
        (count,) = self._database.execute("SELECT count(*) FROM nodes").fetchone()
        return int(count)

    # Events

    def start_page(self) -> None:
        """Drop cached answers of the server: a new page of events has been read."""
        self._top_cached, self._is_top_cached = None, False

    def find_concerning(self, client: Client, event: Event) -> Event | None:
        """Return the event if its file is or was in the tree; None otherwise.

        An event of an ancestor is returned as an event of the top of the tree.
        """
        begun = self._database.execute("SELECT file_id FROM begun WHERE event_id = ?", (event.id,)).fetchone()
        if begun:
            is_ancestor = begun[0] != event.file_id
        elif self._is_known(event.file_id) or (event.file is not None and self._contains(client, event.file)):
            is_ancestor = False
        elif event.kind in _WHOLE_TREE_KINDS and self._is_ancestor(client, event):
            is_ancestor = True
        else:
            return None
        return replace(event, file_id=self._top_id, file=self._find_top(client)) if is_ancestor else event

    def find_path_before(self, event: Event) -> str | None:
        """Return the path of the event's file before the event; None if unknown."""
        begun = self._database.execute("SELECT place FROM begun WHERE event_id = ?", (event.id,)).fetchone()
        return (begun and begun[0]) or self._find_path(event.file_id)

    def _find_path(self, file_id: str) -> str | None:
        """Return the last recorded path of a file; None if unknown."""
        names: list[str] = []
        visited = {file_id}  # rows of different times may form a cycle until the events in between are applied
        while file_id != self._top_id:
            row = self._database.execute("SELECT parent_id, name FROM nodes WHERE id = ?", (file_id,)).fetchone()
            if not row or row[0] in visited:
                return None
            file_id = row[0]
            names.append(row[1])
            visited.add(file_id)
        return self._top_path.rstrip("/") + "".join(f"/{name}" for name in reversed(names)) or "/"

    def apply(self, client: Client, event: Event) -> None:
        """Apply an event that concerns the tree. The change is committed when the event is settled."""
        self._begin()
        file = event.file
        if file and self._contains(client, file):
            if file.id == self._top_id:
                self._top_path = remote.format_path(file)
                if event.kind in _WHOLE_TREE_KINDS:
                    self._record_ancestors(client, file)
            # The contents of a created folder have their own events. The contents of a folder that was moved here have
            # none, nor have the changes in a shared folder while the caller could not see it.
            has_returned = file.role != "owner" and event.kind in _RETURN_KINDS
            if file.kind == "folder" and event.kind != "file.created" and (has_returned or not self._is_known(file.id)):
                try:
                    self._record(client.files.list(file, recursive=True))
                except ApiError as problem:
                    if problem.code != "not-found":  # gone by now: another event follows
                        raise
            self._record([file])
        elif (file or event.kind == "file.deleted") and event.file_id != self._top_id:
            self._database.execute(_DELETE_SUBTREE, (event.file_id,))

    def record_begun(self, changes: Iterable[tuple[Event, str | None]]) -> None:
        """Commit the events that are about to be processed with the old paths of their files, for a repetition."""
        self._begin()
        rows = ((event.id, event.file_id, old_path) for event, old_path in changes)
        self._database.executemany("INSERT OR REPLACE INTO begun VALUES (?, ?, ?)", rows)
        self._database.execute("UPDATE watched SET top_place = ?", (self._top_path,))
        self._database.execute("COMMIT")

    def is_settled(self, event: Event) -> bool:
        """Return whether an event is settled: an earlier run stopped in the middle of its page."""
        row = self._database.execute("SELECT 1 FROM settled WHERE event_id = ?", (event.id,)).fetchone()
        return row is not None

    def settle(self, event: Event) -> None:
        """Commit that an event and all before it are processed."""
        self._begin()
        self._database.execute("INSERT OR IGNORE INTO settled VALUES (?)", (event.id,))
        self._database.execute("DELETE FROM begun")
        self._database.execute("COMMIT")

    def settle_all(self, cursor: str) -> None:
        """Commit that all events before `cursor` are processed."""
        self._begin()
        self._database.execute("UPDATE watched SET cursor = ?, top_place = ?", (cursor, self._top_path))
        self._database.execute("DELETE FROM settled")
        self._database.execute("DELETE FROM begun")
        self._database.execute("COMMIT")

    # Rows

    def _begin(self) -> None:
        if not self._database.in_transaction:
            self._database.execute("BEGIN IMMEDIATE")

    def _record(self, files: Iterable[File]) -> None:
        rows = ((file.id, file.parent_id, file.name) for file in files)
        self._database.executemany("INSERT OR REPLACE INTO nodes VALUES (?, ?, ?)", rows)

    def _is_known(self, node_id: str | None) -> bool:
        return self._database.execute("SELECT 1 FROM nodes WHERE id = ?", (node_id,)).fetchone() is not None

    def _contains(self, client: Client, file: File) -> bool:
        """Return whether a file is in the tree now.

        Its parent may be in the tree and not recorded yet: the file was moved after the event into a newer folder. Only
        files below the top by path are looked up on the server.
        """
        while file.id != self._top_id and not self._is_known(file.parent_id):
            if file.parent_id is None or not self._is_below_by_path(client, file):
                return False
            above = _find(client, file.parent_id)
            if above is None:
                return False
            file = above
        return True

    def _is_below_by_path(self, client: Client, file: File) -> bool:
        top = self._find_top(client)
        return top is not None and _is_below(file, top)

    def _is_ancestor(self, client: Client, event: Event) -> bool:
        """Return whether an event is of an ancestor of the tree that the caller sees."""
        file = event.file
        if file and event.kind.startswith("share.") and file.role == "owner":
            return False  # the owner's access does not depend on shares
        if self._database.execute("SELECT 1 FROM above WHERE id = ?", (event.file_id,)).fetchone():
            return True
        top = self._find_top(client) if file and file.kind == "folder" else None
        return (
            file is not None and top is not None and _is_below(top, file)
        )  # it became an ancestor after the last update

    def _find_top(self, client: Client) -> File | None:
        """Return the top of the tree as of now; an ancestor may have been renamed."""
        if not self._is_top_cached:
            self._top_cached = _find(client, self._top_id)
            self._is_top_cached = True
        return self._top_cached

    def _record_ancestors(self, client: Client, top: File) -> None:
        self._database.execute("DELETE FROM above")
        folder_id = top.parent_id
        while folder_id:
            self._database.execute("INSERT OR IGNORE INTO above VALUES (?)", (folder_id,))
            folder = _find(client, folder_id)
            folder_id = folder.parent_id if folder else None  # gone by now: another event follows


def _find(client: Client, file_id: str) -> File | None:
    """Return a file or folder; None if it does not exist or is not visible."""
    try:
        return client.files.get(file_id)
    except ApiError as problem:
        if problem.code != "not-found":
            raise
        return None


def _is_below(file: File, folder: File) -> bool:
    return remote.format_path(file).startswith(remote.format_path(folder).rstrip("/") + "/")
