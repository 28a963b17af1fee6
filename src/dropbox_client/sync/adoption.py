"""Which nodes new local entries are: those of their names, or those that vanished from elsewhere.

Adopting a folder gives its contents a folder on the server, in which they may be adopted as well: a whole tree is
joined by one plan. The rest of the plan is made on the trees as they are after these actions, which change rows only.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from dropbox_client.models.files import normalize_name
from dropbox_client.sync.facts import Facts
from dropbox_client.sync.trees import (
    Adopt,
    BaseEntry,
    ContentId,
    LocalEntry,
    NodeId,
    Pair,
    RemoteEntry,
    Tree,
    Trees,
)


@dataclass
class Adoption:
    """New local entries and their nodes."""

    adopts: list[Adopt] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)


def find_adoption(facts: Facts) -> Adoption:
    """Find what is the same on both sides without being known as such."""
    found = Adoption()
    local, remote = facts.trees.local, facts.trees.remote
    waiting = [(entry.id, entry.id) for entry in remote.values() if entry.kind == "folder" and entry.id in local]
    while waiting:
        directory, folder = waiting.pop()
        if directory in facts.blocked or folder in facts.blocked:
            continue
        nodes = {normalize_name(node.name): node for node in remote.children(folder) if _is_awaited(facts, node)}
        exact = {node.name for node in nodes.values()}
        new = [entry for entry in local.children(directory) if _is_unknown(facts, entry)]
        for entry in sorted(new, key=lambda entry: (facts.names[entry.id] not in exact, entry.name)):
            node = nodes.get(normalize_name(facts.names[entry.id]))
            if node is None or entry.kind != node.kind or entry.content != node.content:
                continue
            del nodes[normalize_name(node.name)]
            found.adopts.append(Adopt(entry, node))
            waiting += [(entry.id, node.id)] if entry.kind == "folder" else []
    found.pairs += _find_pairs(facts, {one.local.id for one in found.adopts}, {one.remote.id for one in found.adopts})
    return found


def _is_unknown(facts: Facts, entry: LocalEntry) -> bool:
    trees = facts.trees
    return entry.id not in trees.base and entry.id not in trees.remote and entry.id not in facts.blocked


def _is_awaited(facts: Facts, node: RemoteEntry) -> bool:
    """Return whether the disk is to get a node that it does not have."""
    row = facts.rows[node.id]
    is_left = row.base is not None and row.is_unmounted  # a new folder of its name is not the share
    if row.local is not None or node.id in facts.blocked or is_left:
        return False
    return row.base is None or node.kind == "folder" or row.is_edited_remotely


def _find_pairs(facts: Facts, taken: set[NodeId], adopted: set[NodeId]) -> Iterator[Pair]:
    """Pair each new file with the node that vanished from its place, else with the one vanished node of its content.

    A file that is deleted and written anew is an edit of its node; a content that has moved is unlike any other one.
    """
    trees = facts.trees
    vanished = {base.id: base for base in trees.base.values() if base.id not in adopted and _is_vanished(facts, base)}
    new = [entry for entry in trees.local.values() if entry.kind == "file" and _is_unknown(facts, entry)]
    new = [entry for entry in new if entry.id not in taken]
    places = {(base.parent, base.local_name): base for base in vanished.values()}
    for entry in new:
        found = places.get((entry.parent, entry.name))
        if found is not None and _may_pair(facts, entry, found) and not facts.rows[found.id].is_moved_remotely:
            taken = taken | {entry.id}
            del vanished[found.id]
            yield Pair(entry, found)
    sources: defaultdict[ContentId | None, list[BaseEntry]] = defaultdict(list)
    for base in vanished.values():
        sources[base.content].append(base)
    targets: defaultdict[ContentId | None, list[LocalEntry]] = defaultdict(list)
    for entry in new:
        if entry.id not in taken:
            targets[entry.content].append(entry)
    for content, entries in targets.items():
        is_only = content is not None and content.size_bytes > 0 and len(entries) == len(sources[content]) == 1
        if is_only and _may_pair(facts, entries[0], sources[content][0]):
            yield Pair(entries[0], sources[content][0])


def _is_vanished(facts: Facts, base: BaseEntry) -> bool:
    """Return whether a file is gone on disk only. Edited by another device as well, it may be so because of its
    conflict copy: it was not moved.
    """
    row = facts.rows[base.id]
    is_gone = row.remote is not None and row.local is None and base.id not in facts.blocked
    return is_gone and base.kind == "file" and not row.is_edited_remotely and not row.is_unmounted


def _may_pair(facts: Facts, entry: LocalEntry, base: BaseEntry) -> bool:
    source, target = facts.rows[base.id].mount, facts.rows[entry.id].local_mount
    return source.is_writable and target.is_writable and source.has_owner_of(target)


def apply_adoption(trees: Trees, adoption: Adoption) -> Trees:
    """Return the trees as they are after the actions of an adoption."""
    ids = {one.local.id: one.remote.id for one in adoption.adopts}
    ids |= {one.local.id: one.base.id for one in adoption.pairs}
    if not ids:
        return trees
    local = Tree(
        replace(entry, id=ids.get(entry.id, entry.id), parent=entry.parent and ids.get(entry.parent, entry.parent))
        for entry in trees.local.values()
    )
    made = [_make_base(one) for one in adoption.adopts]
    return replace(trees, local=local, base=Tree([*trees.base.values(), *made]))


def _make_base(adopt: Adopt) -> BaseEntry:
    node = adopt.remote
    return BaseEntry(
        node.id,
        node.parent,
        node.name,
        adopt.local.name,
        node.kind,
        node.content,
        node.revision_id,
        node.version,
        node.executable,
    )
