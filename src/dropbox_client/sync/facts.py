"""What the three trees mean together: rows of the table, and the entries with which nothing may be done.

A missing local entry counts as gone only where its directory was listed: below an unknown one it is hidden.
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final

from dropbox_client.models.files import normalize_name
from dropbox_client.sync.conflicts import Answer, Row
from dropbox_client.sync.names import BadLocalName, RootTraits, read_name
from dropbox_client.sync.trees import SHARED_ID, LocalEntry, Mount, NodeId, Tree, Trees

SPECIAL: Final = "neither a file nor a folder"
"""Why nothing is done with a link, a socket or a device: nothing is wrong with it."""
_NO_MOUNT: Final = Mount("", "viewer")
"""Of entries whose folders are unknown: nothing is sent there."""


class Facts:
    """The rows of a part of the trees. Only read after it is made."""

    def __init__(self, trees: Trees, traits: RootTraits, answers: Mapping[NodeId, Answer]) -> None:
        self.trees = trees
        self.blocked: dict[NodeId, str] = {}
        """Nodes with which nothing is done, and why. They keep their names on both sides."""
        self.blocked_locally: set[NodeId] = set()
        """Those of them that the disk blocks."""
        self.carried: set[NodeId] = set()
        """Local entries that are never sent, and go along when their directory is moved to the local trash."""
        self.pinned: set[NodeId] = set()
        """Directories with something busy or unknown below: they are neither moved nor deleted on disk."""
        self.names: dict[NodeId, str] = {}
        """Names of local entries, as the server would have them."""
        self._block_local(traits)
        self._block_remote()
        self.rows = self._make_rows(answers)

    def _block_local(self, traits: RootTraits) -> None:
        local = self.trees.local
        for entry in local.values():
            try:
                reason = _explain(entry)
                self.names[entry.id] = "" if entry.parent is None else read_name(entry.name, traits)
            except BadLocalName as bad:
                reason = str(bad)
            if not reason:
                continue
            self._block_local_entry(entry, reason)

    def _block_local_entry(self, entry: LocalEntry, reason: str) -> None:
        local, base = self.trees.local, self.trees.base
        found = [entry.id, *(below.id for below in local.below(entry.id))]
        if entry.status == "unmanaged" or entry.kind == "other":
            self.carried.update(found)
        else:
            self.pinned.update(above.id for above in local.above(entry.id))
        waiting = [*found] if entry.kind == "folder" else []
        while waiting:
            known = base.children(waiting.pop())
            hidden = [one.id for one in known if one.id not in local and one.id not in self.blocked]
            self.blocked.update(dict.fromkeys(hidden, reason))
            waiting += hidden
            self.blocked_locally.update(hidden)
        for node_id in found:
            self.blocked.setdefault(node_id, reason)
        self.blocked_locally.update(found)

    def _block_remote(self) -> None:
        trees = self.trees
        reached = {trees.root, *(entry.id for entry in trees.remote.below(trees.root))}
        by_name: defaultdict[tuple[NodeId | None, str], list[NodeId]] = defaultdict(list)
        for entry in trees.remote.values():
            if entry.id not in trees.mounts:  # the names of shares are this device's own
                by_name[entry.parent, normalize_name(entry.name)].append(entry.id)
            if entry.id not in reached:
                self.blocked.setdefault(entry.id, "its folder is not known yet")
            if entry.selection != "selected":
                below = [one.id for one in trees.remote.below(entry.id)] + [
                    one.id for one in trees.local.below(entry.id)
                ]
                for node_id in (entry.id, *below):
                    self.blocked.setdefault(node_id, f"{entry.selection} on this device")
        for twins in by_name.values():
            if len(twins) > 1:
                self.blocked.update(dict.fromkeys(twins, "another file of this name is about to change"))

    def _make_rows(self, answers: Mapping[NodeId, Answer]) -> dict[NodeId, Row]:
        trees = self.trees
        base, local, remote = (_find_mounts(tree, trees) for tree in (trees.base, trees.local, trees.remote))
        rows = {}
        for node_id in dict.fromkeys([*trees.remote, *trees.base, *trees.local]):
            # The chain of base is broken where a folder was detached: its contents have only their local one.
            mount = next((side[node_id] for side in (remote, base, local) if node_id in side), _NO_MOUNT)
            is_share = mount.root not in {trees.root, SHARED_ID}
            rows[node_id] = Row(
                node_id,
                trees.base.get(node_id),
                trees.local.get(node_id),
                trees.remote.get(node_id),
                mount,
                local.get(node_id, mount),
                trees.fates.get(node_id),
                answers.get(node_id),
                is_mount_root=is_share and mount.root == node_id,
                is_unmounted=is_share and mount.root not in trees.local and mount.root not in self.blocked,
            )
        return rows


def _explain(entry: LocalEntry) -> str:
    """Return why nothing is done with a local entry, "" where something may be."""
    if entry.status != "ok":
        return entry.reason or entry.status
    if entry.kind == "other":
        return entry.reason or SPECIAL
    return "not read yet" if entry.kind == "file" and entry.content is None else ""


def _find_mounts(tree: Tree[Any], trees: Trees) -> dict[NodeId, Mount]:
    """Return the mount of each entry of one tree: that of its nearest ancestor with one, or its own."""
    found = {**trees.mounts}
    for node_id in tree:
        path: dict[NodeId, None] = {}
        top: NodeId | None = node_id
        while top is not None and top not in found and top not in path:
            path[top] = None
            entry = tree.get(top)
            top = entry.parent if entry else None
        mount = found.get(top, _NO_MOUNT) if top else _NO_MOUNT
        found.update(dict.fromkeys(path, mount))
    return {node_id: found[node_id] for node_id in tree if found[node_id] != _NO_MOUNT}
