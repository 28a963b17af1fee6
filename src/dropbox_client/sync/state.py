"""The state of one root: the three trees as last observed and agreed, and the progress of the client.

Observations are stored, work is derived: nothing here says what to do next. Each method is one short transaction, or
joins the one that `transaction` began, so that facts which belong together are committed together. Not thread-safe: the
control thread owns it.
"""

import json
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from dropbox_client.sync.conflicts import Answer
from dropbox_client.sync.guard import RootRecord
from dropbox_client.sync.ignores import Ignores
from dropbox_client.sync.state_file import ROOT_CHILD, open_database, read_database
from dropbox_client.sync.trees import (
    BaseEntry,
    ContentId,
    Fate,
    Kind,
    LocalStatus,
    Mount,
    NodeId,
    RemoteEntry,
    new_id,
)

BASE_COLUMNS: Final = "id, parent, name, local_name, kind, fp, size, revision, version, executable"
REMOTE_COLUMNS: Final = "id, parent, name, kind, fp, size, revision, version, executable, content_status, refused"
_BELOW_REMOTE = """
WITH RECURSIVE below(id) AS (SELECT ? UNION SELECT remote.id FROM below JOIN remote ON remote.parent = below.id)
"""


class LocalRow(NamedTuple):
    """A row of the table `local`, in the order of its columns: a directory entry as last scanned."""

    dir: int
    name: bytes
    kind: Kind
    inode: int
    mode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    birth_ns: int | None
    child: int | None
    """The number of a folder, by which its entries name it in `dir`; None of other entries."""
    id: NodeId
    fp: bytes | None
    status: LocalStatus = "ok"
    reason: str = ""


LOCAL_COLUMNS: Final = ", ".join(LocalRow._fields)
_LOCAL_VALUES = ", ".join("?" * len(LocalRow._fields))


class MountRow(NamedTuple):
    """A share, and its place on the devices of this account."""

    mount: Mount
    parent: NodeId | None
    """None of a share inside of another one, which stays there."""
    name: str


@dataclass(frozen=True, slots=True)
class Intent:
    """An action that was begun and must be finished or undone before the next scan."""

    number: int
    at: float
    kind: str
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ConflictRecord:
    """A conflict copy that was made."""

    at: float
    node: NodeId
    path: str
    copy: str


class State:
    """The state of one root. A context manager that closes it."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        """Open the state, created if missing. Raises ClientError."""
        self.path = path
        self._clock = clock
        self.database, self.set_aside = open_database(path, clock)
        """`set_aside` is where a damaged file was moved to: this state is a new one then."""
        self.forgotten: set[NodeId] = set()
        """Nodes that left the remote tree while transfers run: the answer of an upload may be older than that."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.database.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit all changes of the block together, or none; an inner block is committed with the outer one."""
        is_inner = self.database.in_transaction
        self.database.execute("SAVEPOINT inner" if is_inner else "BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.database.execute("ROLLBACK TO inner" if is_inner else "ROLLBACK")
            if is_inner:
                self.database.execute("RELEASE inner")
            raise
        self.database.execute("RELEASE inner" if is_inner else "COMMIT")

    # Facts of the whole root

    def read_fact(self, key: str) -> Any:
        """Return a value, None if it was not set."""
        row = self.database.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    def set_fact(self, key: str, value: str | bytes | float | None) -> None:
        self.database.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    @property
    def root_id(self) -> NodeId | None:
        """The id of the root folder on the server, None before `set_root`."""
        found: NodeId | None = self.read_fact("root_id")
        return found

    @property
    def record(self) -> RootRecord | None:
        """What `guard` compares with the folder on disk."""
        text = self.read_fact("record")
        return RootRecord(**json.loads(text)) if text else None

    @record.setter
    def record(self, record: RootRecord) -> None:
        self.set_fact("record", json.dumps(asdict(record)))

    @property
    def cursor(self) -> str | None:
        """The position in the journal of the account up to which the remote tree is complete."""
        found: str | None = self.read_fact("cursor")
        return found

    @property
    def epoch(self) -> str | None:
        """The data epoch in which the versions of base and remote rows count."""
        found: str | None = self.read_fact("epoch")
        return found

    @property
    def rules(self) -> str:
        """The text of `.dbxignore` that is in force."""
        return (self.read_fact("rules") or b"").decode(errors="surrogateescape")

    def set_root(self, node_id: NodeId) -> None:
        """Bind the root folder on disk to that of the server."""
        with self.transaction():
            self.set_fact("root_id", node_id)
            row = LocalRow(0, b"", "folder", 0, 0, 0, 0, 0, None, ROOT_CHILD, node_id, None)
            self.put_local([row])
            self.put_base(BaseEntry(node_id, None, "", b"", "folder", None, None, 0))
            self.put_remote(RemoteEntry(node_id, None, "", "folder", None, None, 0))

    def begin_epoch(self, epoch: str, instance: str) -> None:
        """Void what was agreed in another epoch: nothing is deleted, and both trees are united by hash (rule 3).

        Local entries become new ones; the remote tree must be read again.
        """
        with self.transaction():
            root_id, generation = self.root_id, self.read_fact("generation")
            self.database.execute("DELETE FROM base WHERE id IS NOT ?", (root_id,))
            self.database.execute("DELETE FROM remote WHERE id IS NOT ?", (root_id,))
            self.database.execute("UPDATE remote SET version = 0, seen = ?", (generation,))
            bound = self.database.execute("SELECT id FROM local WHERE id NOT LIKE '+%' AND id IS NOT ?", (root_id,))
            for (node_id,) in bound.fetchall():
                self.bind(node_id, new_id(self.next_number()))
            for table in ("relists", "fates"):
                self.database.execute(f"DELETE FROM {table}")
            self.set_fact("cursor", None)
            self.set_fact("epoch", epoch)
            self.set_fact("instance", instance)

    def replace_rules(self, ignores: Ignores) -> None:
        """Put ignore rules in force (rule 11).

        Nodes that are ignored by now lose their base row, and local entries become new ones: what happens to them on
        disk while they are ignored says nothing about the server.
        """
        with self.transaction():
            ignored = [
                node_id
                for node_id, path, kind in self._base_paths()
                if ignores.has_path(path, is_folder=kind == "folder")
            ]
            for node_id in ignored:
                self.remove_base(node_id)
                if self.find_local(node_id):
                    self.bind(node_id, new_id(self.next_number()))
            self.mark_changed()
            self.set_fact("are_rules_checked", 0)
            self.set_fact("rules", ignores.rules.encode(errors="surrogateescape"))

    def mark_changed(self) -> None:
        """Let the next plan see all nodes: what this device keeps has changed."""
        self.database.execute("INSERT OR IGNORE INTO changed SELECT id FROM remote")

    def _base_paths(self) -> list[tuple[NodeId, str, Kind]]:
        return self.database.execute(
            """WITH RECURSIVE placed(id, path, kind) AS (
                SELECT id, name, kind FROM base WHERE parent = ?
                UNION ALL
                SELECT base.id, placed.path || '/' || base.name, base.kind
                    FROM placed JOIN base ON base.parent = placed.id
            ) SELECT id, path, kind FROM placed""",
            (self.root_id,),
        ).fetchall()

    def next_number(self) -> int:
        """Return a number that no other new entry and no other folder of this state has."""
        number: int
        (number,) = self.database.execute(
            "UPDATE meta SET value = value + 1 WHERE key = 'counter' RETURNING value"
        ).fetchone()
        return number

    # Local tree

    def list_local(self, folder: int) -> list[LocalRow]:
        """Return the entries of the folder with this number."""
        rows = self.database.execute(f"SELECT {LOCAL_COLUMNS} FROM local WHERE dir = ?", (folder,))
        return [LocalRow(*row) for row in rows]

    def find_local(self, node_id: NodeId) -> LocalRow | None:
        return self._one_local("id = ?", node_id)

    def find_folder(self, child: int) -> LocalRow | None:
        """Return the row of the folder with this number."""
        return self._one_local("child = ?", child)

    def _one_local(self, condition: str, value: object) -> LocalRow | None:
        row = self.database.execute(f"SELECT {LOCAL_COLUMNS} FROM local WHERE {condition}", (value,)).fetchone()
        return LocalRow(*row) if row else None

    def find_place(self, folder: int, name: bytes) -> LocalRow | None:
        """Return the entry with a name in the folder with this number."""
        columns = f"SELECT {LOCAL_COLUMNS} FROM local WHERE dir = ? AND name = ?"
        row = self.database.execute(columns, (folder, name)).fetchone()
        return LocalRow(*row) if row else None

    def find_next_file(self, folder: int, name: bytes) -> LocalRow | None:
        """Return the next file with a hash after a place, in the order of folder numbers and names."""
        row = self.database.execute(
            f"SELECT {LOCAL_COLUMNS} FROM local WHERE (dir, name) > (?, ?) AND dir > 0 AND kind = 'file'"
            " AND status = 'ok' ORDER BY dir, name LIMIT 1",
            (folder, name),
        ).fetchone()
        return LocalRow(*row) if row else None

    def list_failed_folders(self) -> list[int]:
        """Return the numbers of the folders that could not be read."""
        failed = "SELECT child FROM local WHERE status IN ('unknown', 'unreadable') AND child IS NOT NULL"
        return [row[0] for row in self.database.execute(failed)]

    def find_inode(self, inode: int) -> list[LocalRow]:
        """Return all entries with this inode: more than one of a file with hard links."""
        rows = self.database.execute(f"SELECT {LOCAL_COLUMNS} FROM local WHERE inode = ?", (inode,))
        return [LocalRow(*row) for row in rows]

    def local_path(self, child: int) -> bytes | None:
        """Return the path of a folder below the root, b"" for the root; None if there is no such folder."""
        names: list[bytes] = []
        while child != ROOT_CHILD:
            row = self.find_folder(child)
            if row is None:
                return None
            names.append(row.name)
            child = row.dir
        return b"/".join(reversed(names))

    def put_local(self, rows: Iterable[LocalRow]) -> None:
        """Insert entries, or replace those at the same place."""
        self.database.executemany(
            f"INSERT INTO local ({LOCAL_COLUMNS}) VALUES ({_LOCAL_VALUES}) ON CONFLICT (dir, name) DO UPDATE SET"
            + ", ".join(f" {name} = excluded.{name}" for name in LocalRow._fields[2:]),
            rows,
        )

    def move_local(self, row: LocalRow, folder: int, name: bytes) -> LocalRow:
        """Record the new place of an entry, which must be free; return the entry there."""
        moved = row._replace(dir=folder, name=name)
        self.database.execute(
            "UPDATE local SET dir = ?, name = ? WHERE dir = ? AND name = ?", (folder, name, row.dir, row.name)
        )
        return moved

    def remove_local(self, row: LocalRow) -> None:
        """Remove an entry, with all below it."""
        with self.transaction():
            if row.child is not None:
                for below in self.list_local(row.child):
                    self.remove_local(below)
            self.database.execute("DELETE FROM local WHERE dir = ? AND name = ?", (row.dir, row.name))

    def bind(self, local_id: NodeId, node_id: NodeId) -> None:
        """Give a local entry another id: that of its node, or a new one."""
        self.database.execute("UPDATE local SET id = ? WHERE id = ?", (node_id, local_id))

    # Base tree

    def put_base(self, entry: BaseEntry) -> None:
        """Record what both sides agree on now."""
        fp, size = _pack_content(entry.content)
        values = (entry.id, entry.parent, entry.name, entry.local_name, entry.kind, fp, size)
        self.database.execute(
            f"INSERT INTO base ({BASE_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
            + ", ".join(f" {name} = excluded.{name}" for name in BASE_COLUMNS.split(", ")[1:]),
            (*values, entry.revision_id, entry.version, entry.executable),
        )

    def find_base(self, node_id: NodeId) -> BaseEntry | None:
        row = self.database.execute(f"SELECT {BASE_COLUMNS} FROM base WHERE id = ?", (node_id,)).fetchone()
        return read_base(row) if row else None

    def remove_base(self, node_id: NodeId) -> None:
        self.database.execute("DELETE FROM base WHERE id = ?", (node_id,))

    # Remote tree

    def put_remote(self, entry: RemoteEntry, modified_at: str | None = None) -> None:
        """Record a node of the server, unless a newer version of it is known.

        A node of which a newer version is known counts as seen by the running list all the same.
        """
        fp, size = _pack_content(entry.content)
        compared = [name for name in REMOTE_COLUMNS.split(", ") if name not in {"id", "refused"}]
        self.database.execute(
            f"INSERT INTO remote ({REMOTE_COLUMNS}, modified_at, seen) SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, value"
            " FROM meta WHERE key = 'generation' ON CONFLICT (id) DO UPDATE SET seen = excluded.seen",
            (
                *(entry.id, entry.parent, entry.name, entry.kind, fp, size, entry.revision_id, entry.version),
                *(entry.executable, entry.content_status, modified_at),
            ),
        )
        self.database.execute(
            f"UPDATE remote SET {', '.join(f'{name} = ?' for name in compared)}, modified_at = ?,"
            " refused = refused AND fp IS ? AND content_status IS ? WHERE id = ? AND version <= ?",
            (
                *(entry.parent, entry.name, entry.kind, fp, size, entry.revision_id, entry.version),
                *(entry.executable, entry.content_status, modified_at, fp, entry.content_status),
                *(entry.id, entry.version),
            ),
        )

    def count_files(self) -> int:
        """Return on how many files both sides agreed."""
        count: int
        (count,) = self.database.execute("SELECT count(*) FROM base WHERE kind = 'file'").fetchone()
        return count

    def find_remote(self, node_id: NodeId) -> RemoteEntry | None:
        row = self.database.execute(f"SELECT {REMOTE_COLUMNS} FROM remote WHERE id = ?", (node_id,)).fetchone()
        return read_remote(row) if row else None

    def list_remote(self, parent: NodeId) -> list[RemoteEntry]:
        """Return the nodes in a folder."""
        rows = self.database.execute(f"SELECT {REMOTE_COLUMNS} FROM remote WHERE parent = ?", (parent,))
        return [read_remote(row) for row in rows]

    def find_remote_path(self, path: str) -> NodeId | None:
        """Return the node at a path below the root, such as `a/b`."""
        found = self.root_id
        for name in path.split("/"):
            row = self.database.execute("SELECT id FROM remote WHERE parent = ? AND name = ?", (found, name)).fetchone()
            if row is None:
                return None
            found = row[0]
        return found

    def find_excluded(self, paths: Collection[str]) -> set[NodeId]:
        """Return the nodes at paths below the root, each the one that was there first, wherever it is now."""
        before: dict[str, NodeId] = json.loads(self.read_fact("excluded") or "{}")
        nodes: dict[str, NodeId] = {}
        for path in sorted(paths):
            known = before.get(path)
            node = known if known and self.find_remote(known) else self.find_remote_path(path) or known
            if node:
                nodes[path] = node
        if nodes != before:
            self.set_fact("excluded", json.dumps(nodes))
        return set(nodes.values())

    def list_lost(self, root: NodeId) -> list[NodeId]:
        """Return the nodes that base has below a folder, and the remote tree nowhere."""
        rows = self.database.execute(
            """WITH RECURSIVE below(id) AS (
                SELECT ? UNION SELECT base.id FROM below JOIN base ON base.parent = below.id
            ) SELECT id FROM below JOIN base USING (id) WHERE id NOT IN (SELECT id FROM remote)""",
            (root,),
        )
        return [row[0] for row in rows]

    def find_modified_at(self, node_id: NodeId) -> str | None:
        """Return when the content of a file was modified, as its client said: an ISO time for the disk."""
        row = self.database.execute("SELECT modified_at FROM remote WHERE id = ?", (node_id,)).fetchone()
        return row[0] if row else None

    def refuse_content(self, entry: RemoteEntry) -> None:
        """Record that a download failed its fingerprint; other content or another status ends it."""
        is_head = "UPDATE remote SET refused = 1 WHERE id = ? AND revision IS ?"
        self.database.execute(is_head, (entry.id, entry.revision_id))

    def remove_remote(self, node_id: NodeId) -> list[NodeId]:
        """Remove a node with all below it, also below one that is not recorded itself; return their ids."""
        with self.transaction():
            ids = [row[0] for row in self.database.execute(f"{_BELOW_REMOTE} SELECT id FROM below", (node_id,))]
            self.database.executemany("DELETE FROM remote WHERE id = ?", ((one,) for one in ids))
        self.forgotten.update(ids)
        return ids

    # Lists of the remote tree

    def begin_list(self) -> None:
        """Begin a list of a folder: `end_list` removes what it has not seen. One list runs at a time."""
        self.database.execute("UPDATE meta SET value = value + 1 WHERE key = 'generation'")

    def end_list(self, root: NodeId) -> list[NodeId]:
        """Remove the nodes below a folder that were not seen since `begin_list`; return their ids.

        Their folders were not seen either, or they were moved out of a folder that was.
        """
        with self.transaction():
            (generation,) = self.database.execute("SELECT value FROM meta WHERE key = 'generation'").fetchone()
            rows = self.database.execute(
                f"{_BELOW_REMOTE} SELECT remote.id FROM below JOIN remote USING (id) WHERE id != ? AND seen < ?",
                (root, root, generation),
            )
            ids = [row[0] for row in rows]
            self.database.executemany("DELETE FROM remote WHERE id = ?", ((one,) for one in ids))
        self.forgotten.update(ids)
        return ids

    def put_relist(self, root: NodeId) -> None:
        """Record that a folder has to be listed again before anything is planned."""
        self.database.execute("INSERT OR IGNORE INTO relists VALUES (?)", (root,))

    def remove_relist(self, root: NodeId) -> None:
        self.database.execute("DELETE FROM relists WHERE root = ?", (root,))

    def list_relists(self) -> list[NodeId]:
        return [row[0] for row in self.database.execute("SELECT root FROM relists")]

    def put_fates(self, fates: Mapping[NodeId, Fate]) -> None:
        """Record what became of nodes that the remote tree lost; those without a base row are left out."""
        self.database.executemany(
            "INSERT OR REPLACE INTO fates SELECT ?, ? WHERE EXISTS (SELECT 1 FROM base WHERE id = ?)",
            ((node_id, fate, node_id) for node_id, fate in fates.items()),
        )

    # Mounts

    def put_mount(self, row: MountRow) -> None:
        mount = row.mount
        values = (mount.root, row.parent, row.name, mount.access, mount.is_active)
        self.database.execute("INSERT OR REPLACE INTO mounts VALUES (?, ?, ?, ?, ?)", values)

    def find_mount(self, root: NodeId) -> MountRow | None:
        return self.list_mounts().get(root)

    def list_mounts(self) -> dict[NodeId, MountRow]:
        """Return the mounts of shares by root."""
        rows = self.database.execute("SELECT root, parent, name, access, is_active FROM mounts")
        return {
            root: MountRow(Mount(root, access, bool(is_active)), parent, name)
            for root, parent, name, access, is_active in rows
        }

    def remove_mount(self, root: NodeId) -> None:
        self.database.execute("DELETE FROM mounts WHERE root = ?", (root,))

    # Intents and conflicts

    def add_intent(self, kind: str, **detail: Any) -> int:
        """Record an action before its effect; return its number. `detail` is JSON."""
        cursor = self.database.execute(
            "INSERT INTO intents (at, kind, detail) VALUES (?, ?, ?)", (self._clock(), kind, json.dumps(detail))
        )
        assert cursor.lastrowid is not None  # noqa: S101 - of an INSERT
        return cursor.lastrowid

    def list_intents(self) -> list[Intent]:
        rows = self.database.execute("SELECT number, at, kind, detail FROM intents ORDER BY number")
        return [Intent(number, at, kind, json.loads(detail)) for number, at, kind, detail in rows]

    def end_intent(self, number: int) -> None:
        """Remove an intent; call it in the transaction that records the effect."""
        self.database.execute("DELETE FROM intents WHERE number = ?", (number,))

    def add_conflict(self, node_id: NodeId, path: str, copy: str) -> None:
        """Record a conflict copy, by the paths of the file and of the copy below the root."""
        self.database.execute(
            "INSERT INTO conflicts (at, node, path, copy) VALUES (?, ?, ?, ?)", (self._clock(), node_id, path, copy)
        )

    def list_conflicts(self, since: float = 0) -> list[ConflictRecord]:
        """Return the conflict copies made since a time, oldest first."""
        rows = self.database.execute(
            "SELECT at, node, path, copy FROM conflicts WHERE at >= ? ORDER BY number", (since,)
        )
        return [ConflictRecord(*row) for row in rows]

    # Questions

    def put_questions(self, questions: Mapping[NodeId, str]) -> None:
        """Record what a person is asked now: nodes, and the kind of the brake."""
        with self.transaction():
            self.database.execute("DELETE FROM questions")
            self.database.executemany("INSERT INTO questions VALUES (?, ?)", questions.items())

    def list_questions(self) -> dict[NodeId, str]:
        """Return the nodes that a person is asked about, and the kinds of the brakes."""
        return dict(self.database.execute("SELECT id, kind FROM questions"))

    def set_answer(self, answer: Answer) -> int:
        """Answer all open questions; return the number of nodes. A conflict copy can be confirmed only."""
        with self.transaction():
            asked = "FROM questions WHERE kind != 'conflicts' OR ? = 'confirmed'"
            count: int
            (count,) = self.database.execute(f"SELECT count(*) {asked}", (answer,)).fetchone()
            self.database.execute(f"INSERT OR REPLACE INTO answers SELECT id, ? {asked}", (answer, answer))
            self.database.execute(f"DELETE {asked}", (answer,))
        return count

    def list_answers(self) -> dict[NodeId, Answer]:
        """Return the answers to questions about nodes on which the trees do not agree yet."""
        return dict(self.database.execute("SELECT id, answer FROM answers"))


def read_conflicts(path: Path) -> list[ConflictRecord]:
    """Return the conflict copies that a state has, oldest first, also while an engine uses it. Raises ClientError."""
    with read_database(path) as database:
        rows = database.execute("SELECT at, node, path, copy FROM conflicts ORDER BY number") if database else ()
        return [ConflictRecord(*row) for row in rows]


def _pack_content(content: ContentId | None) -> tuple[bytes | None, int | None]:
    return (bytes.fromhex(content.fingerprint), content.size_bytes) if content else (None, None)


def read_content(fp: bytes | None, size: int | None) -> ContentId | None:
    """Return the content of a row."""
    return None if fp is None or size is None else ContentId(fp.hex(), size)


def read_base(row: Any) -> BaseEntry:
    """Return the entry of a row with the columns of `BASE_COLUMNS`."""
    node_id, parent, name, local_name, kind, fp, size, revision, version, executable = row
    content = read_content(fp, size)
    return BaseEntry(node_id, parent, name, local_name, kind, content, revision, version, bool(executable))


def read_remote(row: Any) -> RemoteEntry:
    """Return the entry of a row with the columns of `REMOTE_COLUMNS`."""
    node_id, parent, name, kind, fp, size, revision, version, executable, status, refused = row
    return RemoteEntry(
        node_id,
        parent,
        name,
        kind,
        read_content(fp, size),
        revision,
        version,
        bool(executable),
        status,
        is_refused=bool(refused),
    )
