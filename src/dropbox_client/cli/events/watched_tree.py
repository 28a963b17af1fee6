"""What is known of a watched place: its tree as it is or was last, and how far its events were dealt with.

An event of what is gone carries an id and no place: whoever wants to know whether it was below a folder must remember
what was. So every file and folder is kept with its parent and name until it leaves, or is deleted for good; one that is
in the trash stays, for it may come back. So are the folders above the place: what becomes of one becomes of all that is
below, and no other event tells. All of it is one SQLite file, or none when it is only for now.

Invariants: what `settle` commits, tree and place in the journal, belongs together; a kill at any time leaves what was
committed last, and the events after that come again. What somebody may have been told of is committed before: an event
that comes again shows its file as it is then, and of one that is in the trash since nothing else would be known.
"""

import os
import sqlite3
from collections.abc import Iterable
from dataclasses import replace
from types import TracebackType
from typing import Self

from dropbox_client.api import Client
from dropbox_client.cli import remote
from dropbox_client.errors import ApiProblem, ClientError, Usage
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
_OF_ALL_BELOW = frozenset(
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
"""What becomes of a folder, and so of all that is in it."""
_COMING_BACK = frozenset({"file.moved", "file.restored", "share.granted"})
_FORGET = """
WITH RECURSIVE below(id) AS (
  SELECT ? UNION SELECT nodes.id FROM below JOIN nodes ON nodes.parent_id = below.id
)
DELETE FROM nodes WHERE id IN (SELECT id FROM below)
"""


class Watched:
    """A place on the server that is watched. Used by one thread; a context manager: leaving it closes it.

    Leaving it by an error of what keeps it raises ClientError.
    """

    def __init__(self, path: str | None = None) -> None:
        """Open what `path` keeps, made if need be; without it nothing is kept. Raises ClientError, Usage."""
        self._path = path or ""
        try:
            if path is not None:
                os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # it tells the names of somebody's files
            self._database = sqlite3.connect(self._path, isolation_level=None, timeout=0)
            self._prepare()
        except (OSError, sqlite3.Error) as error:
            raise self._unusable(error) from error
        self._top_id = self._top_place = ""
        self._top_now: File | None = None
        self._is_top_known = False

    def _prepare(self) -> None:
        for statement in ("PRAGMA locking_mode = EXCLUSIVE", "PRAGMA synchronous = FULL", "BEGIN IMMEDIATE"):
            self._database.execute(statement)
        (made_by,) = self._database.execute("PRAGMA application_id").fetchone()
        (tables,) = self._database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if not made_by and not tables:
            for statement in _SCHEMA:
                self._database.execute(statement)
        elif made_by != _APPLICATION_ID:
            raise Usage(f"{self._path} is something else, and no state of `dbx watch`")
        self._database.execute("COMMIT")

    def _unusable(self, error: Exception) -> ClientError:
        if "locked" in str(error):
            return ClientError(f"{self._path} is in use by another `dbx watch`")
        return ClientError(f"{self._path or 'what is known of the place'}: {error}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._database.close()
        if isinstance(error, sqlite3.Error):  # the disk is full, or the file damaged
            raise self._unusable(error) from error

    # Where it begins

    def begin(self, client: Client, place: str, *, cursor: str | None = None, with_trash: bool = False) -> str | None:
        """Learn what is at and below `place`, or find it known; return the cursor to go on from, None if it is new.

        A new one is known as of now, and `cursor`, which was taken before, goes with it. `with_trash`: what was deleted
        there before counts as known, too.
        Raises: Usage when it is another place that is known; what `remote.find` raises.
        """
        row = self._database.execute("SELECT server, place, top_id, top_place, cursor FROM watched").fetchone()
        if row:
            if row[:2] != (client.base_url, place):
                raise Usage(f"{self._path} is the state of watching {row[1]} at {row[0]}")
            self._top_id, self._top_place = row[2:4]
            kept: str = row[4]
            return kept
        top = remote.find(client, place)
        self._top_id, self._top_place = top.id, remote.shown(top)
        self._open()
        self._learn([top])
        self._learn_above(client, top)
        if top.kind == "folder":
            self._learn(client.list_files(parent_id=top.id, recursive=True))
        if with_trash and top.role == "owner":
            # Last deleted first: what was deleted before the folder it was in comes after that folder.
            for file in client.list_trash():
                if self._is_known(file.parent_id):
                    self._learn([file])
        row = (client.base_url, place, self._top_id, self._top_place, cursor or "")
        self._database.execute("INSERT INTO watched VALUES (?, ?, ?, ?, ?)", row)
        self._database.execute("COMMIT")
        return None

    @property
    def size(self) -> int:
        """How many files and folders are known."""
        (count,) = self._database.execute("SELECT count(*) FROM nodes").fetchone()
        return int(count)

    # Events

    def turn_page(self) -> None:
        """Say that the server was asked for more events: what else it says from now on may be newer, too."""
        self._top_now, self._is_top_known = None, False

    def concerning(self, client: Client, event: Event) -> Event | None:
        """Return an event of something that is, or was, at or below the place; None for any other.

        What becomes of a folder above becomes of the place, and is returned as that.
        """
        begun = self._database.execute("SELECT file_id FROM begun WHERE event_id = ?", (event.id,)).fetchone()
        if begun:
            is_of_above = begun[0] != event.file_id
        elif self._is_known(event.file_id) or (event.file is not None and self._holds(client, event.file)):
            is_of_above = False
        elif event.kind in _OF_ALL_BELOW and self._is_above(client, event):
            is_of_above = True
        else:
            return None
        return replace(event, file_id=self._top_id, file=self._top(client)) if is_of_above else event

    def before(self, event: Event) -> str | None:
        """Return where the file of an event that concerns the place was before it; None if it is not known."""
        begun = self._database.execute("SELECT place FROM begun WHERE event_id = ?", (event.id,)).fetchone()
        return (begun and begun[0]) or self._place_of(event.file_id)

    def _place_of(self, file_id: str) -> str | None:
        """Return where something is as far as is known, or was last; None if it is not known."""
        names: list[str] = []
        met = {file_id}  # rows of different times may make a circle, until the events in between were applied
        while file_id != self._top_id:
            row = self._database.execute("SELECT parent_id, name FROM nodes WHERE id = ?", (file_id,)).fetchone()
            if not row or row[0] in met:
                return None
            file_id = row[0]
            names.append(row[1])
            met.add(file_id)
        return self._top_place.rstrip("/") + "".join(f"/{name}" for name in reversed(names)) or "/"

    def apply(self, client: Client, event: Event) -> None:
        """Know what an event that concerns the place tells. It counts when it is settled."""
        self._open()
        file = event.file
        if file and self._holds(client, file):
            if file.id == self._top_id:
                self._top_place = remote.shown(file)
                if event.kind in _OF_ALL_BELOW:
                    self._learn_above(client, file)
            # What is in a folder that was made has events of its own; what is in one that came from elsewhere has none,
            # nor has what changed in one of others while it was out of sight.
            is_back = file.role != "owner" and event.kind in _COMING_BACK
            if file.kind == "folder" and event.kind != "file.created" and (is_back or not self._is_known(file.id)):
                try:
                    self._learn(client.list_files(parent_id=file.id, recursive=True))
                except ApiProblem as problem:
                    if problem.code != "not-found":  # gone since, of which another event will tell
                        raise
            self._learn([file])
        elif (file or event.kind == "file.deleted") and event.file_id != self._top_id:
            self._database.execute(_FORGET, (event.file_id,))

    def begin_with(self, found: Iterable[tuple[Event, str | None]]) -> None:
        """Keep that events are being dealt with, and where their files were before, should they come again."""
        self._open()
        rows = ((event.id, event.file_id, before) for event, before in found)
        self._database.executemany("INSERT OR REPLACE INTO begun VALUES (?, ?, ?)", rows)
        self._database.execute("UPDATE watched SET top_place = ?", (self._top_place,))
        self._database.execute("COMMIT")

    def is_settled(self, event: Event) -> bool:
        """Tell whether an event was dealt with already, before a page was cut off in its middle."""
        found = self._database.execute("SELECT 1 FROM settled WHERE event_id = ?", (event.id,)).fetchone()
        return found is not None

    def settle(self, event: Event) -> None:
        """Keep that an event, and all before it, was dealt with."""
        self._open()
        self._database.execute("INSERT OR IGNORE INTO settled VALUES (?)", (event.id,))
        self._database.execute("DELETE FROM begun")
        self._database.execute("COMMIT")

    def settle_all(self, cursor: str) -> None:
        """Keep that everything before `cursor` was dealt with."""
        self._open()
        self._database.execute("UPDATE watched SET cursor = ?, top_place = ?", (cursor, self._top_place))
        self._database.execute("DELETE FROM settled")
        self._database.execute("DELETE FROM begun")
        self._database.execute("COMMIT")

    # Rows

    def _open(self) -> None:
        if not self._database.in_transaction:
            self._database.execute("BEGIN IMMEDIATE")

    def _learn(self, files: Iterable[File]) -> None:
        rows = ((file.id, file.parent_id, file.name) for file in files)
        self._database.executemany("INSERT OR REPLACE INTO nodes VALUES (?, ?, ?)", rows)

    def _is_known(self, node_id: str | None) -> bool:
        return self._database.execute("SELECT 1 FROM nodes WHERE id = ?", (node_id,)).fetchone() is not None

    def _holds(self, client: Client, file: File) -> bool:
        """Tell whether something is at or below the place now.

        Its parent may be unknown, though inside: it was put there later than the event tells, into a folder that is
        newer, too. What is not below the place by its path either is not asked for.
        """
        while file.id != self._top_id and not self._is_known(file.parent_id):
            if file.parent_id is None or not self._is_below_by_path(client, file):
                return False
            above = _found(client, file.parent_id)
            if above is None:
                return False
            file = above
        return True

    def _is_below_by_path(self, client: Client, file: File) -> bool:
        top = self._top(client)
        return top is not None and _is_below(file, top)

    def _is_above(self, client: Client, event: Event) -> bool:
        """Tell whether an event is of a folder above the place, as far as its reader sees what is above."""
        file = event.file
        if file and event.kind.startswith("share.") and file.role == "owner":
            return False  # they shared it, which takes and gives them nothing
        if self._database.execute("SELECT 1 FROM above WHERE id = ?", (event.file_id,)).fetchone():
            return True
        top = self._top(client) if file and file.kind == "folder" else None
        return file is not None and top is not None and _is_below(top, file)  # it came there while nobody could look

    def _top(self, client: Client) -> File | None:
        """Return the place as it is now; a folder above it may have another name since."""
        if not self._is_top_known:
            self._top_now = _found(client, self._top_id)
            self._is_top_known = True
        return self._top_now

    def _learn_above(self, client: Client, top: File) -> None:
        self._database.execute("DELETE FROM above")
        folder_id = top.parent_id
        while folder_id:
            self._database.execute("INSERT OR IGNORE INTO above VALUES (?)", (folder_id,))
            folder = _found(client, folder_id)
            folder_id = folder.parent_id if folder else None  # gone since, of which another event will tell


def _found(client: Client, file_id: str) -> File | None:
    """Return a file or folder; None if there is none, or none to be seen."""
    try:
        return client.file(file_id)
    except ApiProblem as problem:
        if problem.code != "not-found":
            raise
        return None


def _is_below(file: File, folder: File) -> bool:
    return remote.shown(file).startswith(remote.shown(folder).rstrip("/") + "/")
