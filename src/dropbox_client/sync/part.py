"""The closed part of the three trees that has to be planned, read from the state: see `trees`.

It holds the nodes of which a row changed since the trees last agreed on them, and those around them that `trees` asks
for. Nodes on which the trees agree by now leave the record of changes.
"""

import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from typing import Any

from dropbox_client.sync.state import (
    BASE_COLUMNS,
    LOCAL_COLUMNS,
    REMOTE_COLUMNS,
    LocalRow,
    State,
    read_base,
    read_content,
    read_remote,
)
from dropbox_client.sync.trees import (
    SHARED_ID,
    LocalEntry,
    Mount,
    NodeId,
    RemoteEntry,
    Selection,
    Stamp,
    Tree,
    Trees,
)

_EXECUTABLE = 0o100
_INODES = 1 << 64
"""SQLite has signed numbers only: `scan` stores a large inode as a negative one."""
# CROSS JOIN keeps the order of the tables: SQLite would begin with a large one, of which it has no statistics.
_AGREED = """
DELETE FROM changed WHERE id IN (
    SELECT changed.id FROM changed CROSS JOIN base USING (id) CROSS JOIN remote USING (id) CROSS JOIN local USING (id)
        LEFT JOIN local AS folder ON folder.child = local.dir
    WHERE base.parent IS remote.parent AND base.parent IS folder.id AND base.name = remote.name
        AND base.local_name = local.name AND base.kind = remote.kind AND base.kind = local.kind
        AND base.fp IS remote.fp AND base.fp IS local.fp AND base.executable = remote.executable
        AND (base.kind = 'folder' OR base.executable = (local.mode & 64 != 0))
        AND local.status = 'ok' AND NOT remote.refused
) OR NOT EXISTS (SELECT 1 FROM base WHERE base.id = changed.id)
    AND NOT EXISTS (SELECT 1 FROM remote WHERE remote.id = changed.id)
    AND NOT EXISTS (SELECT 1 FROM local WHERE local.id = changed.id AND local.status != 'unmanaged')
"""
# Nodes on which the trees agree, and which this device does not keep any more.
_ADD_EXCLUDED = """
WITH RECURSIVE below(id) AS (
    SELECT value FROM json_each(?)
    UNION SELECT remote.id FROM below JOIN remote ON remote.parent = below.id
)
INSERT OR IGNORE INTO part SELECT id FROM below JOIN base USING (id)
"""
# Below a folder that one side lacks or does not know, everything belongs to the part.
_ADD_BELOW = """
WITH RECURSIVE below(id) AS (
    SELECT id FROM changed
        LEFT JOIN base USING (id) LEFT JOIN remote USING (id) LEFT JOIN local USING (id)
    WHERE base.id IS NULL OR remote.id IS NULL OR local.id IS NULL OR local.status != 'ok'
    UNION SELECT base.id FROM below JOIN base ON base.parent = below.id
    UNION SELECT remote.id FROM below JOIN remote ON remote.parent = below.id
    UNION SELECT local.id FROM below JOIN local AS folder ON folder.id = below.id JOIN local ON local.dir = folder.child
)
INSERT OR IGNORE INTO part SELECT id FROM below
"""
_ADD_SIBLINGS = """
WITH folders(id) AS (
    SELECT parent FROM part JOIN base USING (id)
    UNION SELECT parent FROM part JOIN remote USING (id)
    UNION SELECT folder.id FROM part JOIN local USING (id) JOIN local AS folder ON folder.child = local.dir
)
INSERT OR IGNORE INTO part
    SELECT base.id FROM folders JOIN base ON base.parent = folders.id
    UNION SELECT remote.id FROM folders JOIN remote ON remote.parent = folders.id
    UNION SELECT local.id FROM folders JOIN local AS folder ON folder.id = folders.id
        JOIN local ON local.dir = folder.child
"""
_ADD_ABOVE = """
WITH RECURSIVE above(id) AS (
    SELECT id FROM part
    UNION SELECT parent FROM above JOIN base USING (id) WHERE parent IS NOT NULL
    UNION SELECT parent FROM above JOIN remote USING (id) WHERE parent IS NOT NULL
    UNION SELECT folder.id FROM above JOIN local USING (id) JOIN local AS folder ON folder.child = local.dir
)
INSERT OR IGNORE INTO part SELECT id FROM above
"""

Select = Callable[[str, str, bool], Selection]
"""Tells whether this device keeps a node, by the path of its folder ("" is the root), its name, and whether it is a
folder. It is asked only for nodes in a folder that this device keeps."""


def load_part(
    state: State, device: int, select: Select, *, is_settled: bool, excluded: Collection[NodeId] = ()
) -> Trees:
    """Return the part of the trees that has to be planned; it has only the root where the trees agree.

    `device` is the device number of the root, for the stamps. `is_settled` is false while a scan or a list is
    incomplete. `excluded` are folders that this device does not keep: what both sides have there is read, too.
    """
    root_id = state.root_id
    assert root_id is not None, "State.set_root comes first"  # noqa: S101
    database = state.database
    with state.transaction():
        database.execute(_AGREED)
        database.execute("DELETE FROM answers WHERE id NOT IN changed")
        database.execute("CREATE TEMP TABLE IF NOT EXISTS part (id TEXT PRIMARY KEY) WITHOUT ROWID")
        database.execute("DELETE FROM part")
        database.execute("INSERT INTO part SELECT id FROM changed UNION SELECT ?", (root_id,))
        if leaving := [node_id for node_id in excluded if state.find_base(node_id)]:
            database.execute(_ADD_EXCLUDED, (json.dumps(leaving),))
        for statement in (_ADD_BELOW, _ADD_SIBLINGS, _ADD_ABOVE):
            database.execute(statement)
        base = Tree(map(read_base, _read(state, "base", BASE_COLUMNS)))
        remote = Tree(map(read_remote, _read(state, "remote", REMOTE_COLUMNS)))
        local = Tree(
            _show_local(LocalRow(*columns), parent, device)
            for *columns, parent in _read(
                state, "local", LOCAL_COLUMNS, ", (SELECT id FROM local AS folder WHERE folder.child = local.dir)"
            )
        )
        local = Tree([entry for entry in (local.get(root_id), *local.below(root_id)) if entry])  # without limbo
        remote = _select(remote, root_id, lambda node_id: node_id in base or node_id in local, select, excluded)
        database.executemany(
            "DELETE FROM changed WHERE id = ?",
            (
                (entry.id,)
                for entry in remote.values()
                if entry.selection != "selected" and entry.id not in base and entry.id not in local
            ),
        )
        fates = dict(database.execute("SELECT id, fate FROM fates JOIN part USING (id)").fetchall())
    mounts = {root: row.mount for root, row in state.list_mounts().items()}
    mounts[root_id] = Mount(root_id, "own")
    mounts[SHARED_ID] = Mount(SHARED_ID, "viewer")
    is_settled = is_settled and not state.list_relists()
    return Trees(root_id, base, local, remote, mounts, fates, is_settled)


def _read(state: State, table: str, columns: str, more: str = "") -> Iterator[Any]:
    return iter(state.database.execute(f"SELECT {columns}{more} FROM part CROSS JOIN {table} USING (id)"))


def _show_local(row: LocalRow, parent: NodeId | None, device: int) -> LocalEntry:
    is_file = row.kind == "file"
    return LocalEntry(
        row.id,
        parent,
        row.name,
        row.kind,
        read_content(row.fp, row.size) if is_file and row.status == "ok" else None,
        is_file and bool(row.mode & _EXECUTABLE),
        row.status,
        row.reason,
        Stamp(device, row.inode % _INODES, row.size, row.mtime_ns, row.ctime_ns),
    )


def _select(
    remote: Tree[RemoteEntry],
    root_id: NodeId,
    is_known: Callable[[NodeId], bool],
    select: Select,
    excluded: Collection[NodeId],
) -> Tree[RemoteEntry]:
    """Return the nodes below the root, each with its selection.

    Others wait for their folders, of which the planner must know where this device has them.
    """
    root = remote.get(root_id)
    if root is None:
        return Tree()
    paths, selected = {root_id: ""}, {root_id: root}
    for entry in remote.below(root_id):
        assert entry.parent is not None  # noqa: S101 - it is below the root
        above = paths[entry.parent]
        selection = selected[entry.parent].selection
        if selection == "selected":
            is_out = entry.id in excluded
            selection = "unselected" if is_out else select(above, entry.name, entry.kind == "folder")
        paths[entry.id] = f"{above}/{entry.name}" if above else entry.name
        selected[entry.id] = entry if selection == "selected" else replace(entry, selection=selection)
    waiting = (entry for entry in remote.values() if entry.id not in selected and is_known(entry.id))
    return Tree([*selected.values(), *waiting])
