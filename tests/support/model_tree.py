"""The tree of one account: a specification of every change in plain Python.

Read `Tree` to learn what the API does; `tests/property/test_tree_machine.py` holds it to this. Nodes are numbered in
the order they are made, the root is 0. An operation either changes the tree and returns the node as it then is, or
raises Refused and changes nothing. Left out: quotas, folders 99 deep, what becomes old.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from dropbox_api.core import names

ROOT = 0
Where = int | str | None
"""A folder: by number, by path, or None for the default."""
Which = tuple[int, int]
"""A revision: the number of its file, and its own number (from 1)."""


class Refused(Exception):
    """The API answers with this problem code; `about`: the nodes that the answer names."""

    def __init__(self, code: str, *about: int) -> None:
        super().__init__(code, *about)
        self.code = code
        self.about = set(about)


@dataclass
class Revision:
    content: bytes
    content_type: str
    processing: str | None = None


@dataclass(eq=False)
class Node:
    number: int
    parent: int | None
    name: str
    revisions: list[Revision] = field(default_factory=list)
    """Oldest first, the head last; a folder has none."""
    is_trashed: bool = False
    """Deleted itself; nodes below it are in the trash without this mark."""
    is_purged: bool = False
    """Deleted for good itself."""
    is_gone: bool = False
    """Removed by a worker, and no longer counted."""
    version: int = 1
    """Grows with each change of the ETag."""

    @property
    def is_folder(self) -> bool:
        return not self.revisions

    @property
    def head(self) -> Revision:
        return self.revisions[-1]


@dataclass(frozen=True)
class Operation:
    """One call of one of the methods of `Tree`."""

    action: str
    arguments: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.action}({', '.join(f'{name}={value!r}' for name, value in self.arguments.items())})"


@dataclass
class Tree:
    nodes: list[Node] = field(default_factory=lambda: [Node(ROOT, None, "")])

    def after(self, operation: Operation) -> tuple["Tree", "Node | Refused | None"]:
        """Return the tree after an operation, and the answer; this tree stays unchanged."""
        tree = Tree([replace(node, revisions=list(map(replace, node.revisions))) for node in self.nodes])
        try:
            return tree, getattr(tree, operation.action)(**operation.arguments)
        except Refused as refused:
            return self, refused

    # Queries

    def above(self, node: Node) -> Iterator[Node]:
        """Yield the node, its folder, and so on up to the root."""
        while True:
            yield node
            if node.parent is None:
                return
            node = self.nodes[node.parent]

    def is_live(self, node: Node) -> bool:
        return not any(above.is_trashed for above in self.above(node))

    def children(self, folder: int) -> list[Node]:
        """Return the children of a folder, ordered by name key."""
        found = [node for node in self.nodes if node.parent == folder and not node.is_trashed]
        return sorted(found, key=lambda node: names.make_key(node.name))

    def below(self, node: Node) -> list[Node]:
        """Return a node and all its descendants; each folder precedes its content, ordered by name key."""
        return [node, *(deeper for child in self.children(node.number) for deeper in self.below(child))]

    def trash(self) -> list[Node]:
        return [node for node in self.nodes if node.is_trashed and not node.is_purged]

    @property
    def used_nodes(self) -> int:
        return sum(not node.is_gone for node in self.nodes) - 1

    @property
    def stored(self) -> set[bytes]:
        """Return each content that a revision has: charged once, and deduplicated when it is sent again."""
        return {revision.content for node in self.nodes if not node.is_gone for revision in node.revisions}

    def path(self, node: Node) -> str:
        return "/" + "/".join(reversed([above.name for above in self.above(node) if above.parent is not None]))

    def at(self, folder: int, name: str) -> Node | None:
        """Return the node at a name, ignoring case and Unicode composition."""
        return next((node for node in self.children(folder) if names.make_key(node.name) == names.make_key(name)), None)

    def live(self, number: int) -> Node:
        node = self.nodes[number]
        if not self.is_live(node):
            raise Refused("not-found")
        return node

    def folder(self, where: int | str) -> int:
        number = self.find(path=where).number if isinstance(where, str) else self.live(where).number
        if not self.nodes[number].is_folder:
            raise Refused("not-a-folder")
        return number

    def show(self, *, number: int) -> Node:
        return self.live(number)

    def find(self, *, path: str) -> Node:
        found: Node | None = self.nodes[ROOT]
        for name in split(path):
            found = self.at(found.number, name) if found else None
        if found is None:
            raise Refused("not-found")
        return found

    # Creation

    def make_folder(self, *, where: Where, name: str, on_conflict: str) -> Node:
        name = clean(name)
        folder = ROOT if where is None else self.folder(where)
        there = self.at(folder, name)
        if there and on_conflict == "reuse" and there.is_folder:
            return there
        name, _ = self.settle(None, folder, name, on_conflict)
        return self.add(folder, name)

    def make_path(self, *, path: str, on_conflict: str) -> Node:
        """Make every missing folder of a path; `on_conflict` applies to the last one."""
        if not split(path):
            if on_conflict == "reuse":
                return self.nodes[ROOT]
            raise Refused("name-taken", ROOT)
        *above, name = split(path)
        return self.make_folder(where=self.folders_of(above), name=name, on_conflict=on_conflict)

    def upload(
        self, *, where: Where, name: str, content: bytes, on_conflict: str, content_type: str, base: Which | None
    ) -> Node:
        """Put content at a name; `base`: the revision that it is an edit of."""
        name = clean(name)
        folder = self.folder(where) if isinstance(where, int) else self.folders_of(split(where or ""))
        there = self.at(folder, name)
        if there is None and base and (trashed := self.trashed_base(folder, name, base)):
            # The editor has not seen the deletion: the edit restores the file.
            trashed.is_trashed, trashed.version = False, trashed.version + 1
            there = trashed
        if there and not there.is_folder and there.head.content == content:
            return there  # unchanged, whatever the request says
        if base and there and not there.is_folder and base != (there.number, len(there.revisions)):
            raise Refused("revision-conflict", there.number)
        return self.put(folder, name, Revision(content, content_type), on_conflict)

    def put(self, folder: int, name: str, revision: Revision, on_conflict: str) -> Node:
        """Make a file, or a revision of the file to replace."""
        name, replaced = self.settle(Node(-1, None, "", [revision]), folder, name, on_conflict)
        if replaced is None:
            return self.add(folder, name, revision)
        replaced.revisions.append(revision)
        replaced.version += 1
        return replaced

    def copy(self, *, number: int, where: Where, name: str | None, on_conflict: str, if_match: int | None) -> Node:
        """Copy the live nodes, each file with its newest revision only and without processing state."""
        name = None if name is None else clean(name)
        node = self.target(number, if_match)
        folder = node.parent if where is None else self.folder(where)
        assert folder is not None
        name = name or node.name
        if not node.is_folder:
            if on_conflict == "replace" and self.at(folder, name) is node:
                raise Refused("name-taken", number)
            return self.put(folder, name, Revision(node.head.content, node.head.content_type), on_conflict)
        originals = self.below(node)  # before the first copy is made: a copy does not contain itself
        name, _ = self.settle(node, folder, name, on_conflict, is_copy=True)
        copies = {number: self.add(folder, name)}
        for old in originals[1:]:
            heads = [Revision(old.head.content, old.head.content_type)] if not old.is_folder else []
            copies[old.number] = self.add(copies[old.parent or ROOT].number, old.name, *heads)
        return copies[number]

    # Changes

    def change(
        self,
        *,
        number: int,
        where: Where,
        name: str | None,
        content_type: str | None,
        on_conflict: str,
        if_match: int | None,
    ) -> Node:
        """Rename, move, set the content type; values that are already set change nothing."""
        name = None if name is None else clean(name)
        node = self.target(number, if_match)
        if content_type is not None and node.is_folder:
            raise Refused("not-a-file")
        folder = node.parent if where is None else self.folder(where)
        assert folder is not None
        name = name or node.name
        if folder != node.parent and node in self.above(self.nodes[folder]):
            raise Refused("into-itself")
        name, replaced = self.settle(node, folder, name, on_conflict)
        if (folder, name) != (node.parent, node.name):
            if replaced:
                self.discard(replaced, force=False)
            node.parent, node.name = folder, name
            node.version += 1
        if content_type is not None and content_type != node.head.content_type:
            node.head.content_type = content_type
            node.version += 1
        return node

    def replace_content(
        self,
        *,
        number: int,
        content: bytes,
        content_type: str,
        name: str | None,
        on_conflict: str,
        if_match: int | None,
    ) -> Node:
        """Add a revision, unless the file has this content, and rename if asked: all or nothing."""
        name = None if name is None else clean(name)
        node = self.live(number)
        match(node, if_match)
        if node.is_folder:
            raise Refused("not-a-file")
        if content != node.head.content:
            node.revisions.append(Revision(content, content_type))
            node.version += 1
        elif content_type != node.head.content_type:
            node.head.content_type = content_type
            node.version += 1
        if name is None:
            return node
        return self.change(
            number=number, where=None, name=name, content_type=None, on_conflict=on_conflict, if_match=None
        )

    def restore_revision(self, *, number: int, revision: Which, if_match: int | None) -> Node:
        """Add a revision with the content of an older one, unless it is the head."""
        node = self.live(number)
        match(node, if_match)
        old = self.revision(node, revision)
        if old is not node.head:
            node.revisions.append(Revision(old.content, old.content_type))
            node.version += 1
        return node

    def report(self, *, number: int, state: str, revision: Which | None, if_match: int | None) -> Node:
        """Record the processing state of a revision (None: the head). The ETag stays."""
        node = self.live(number)
        match(node, if_match)
        self.revision(node, revision).processing = state
        return node

    def revision(self, node: Node, which: Which | None) -> Revision:
        if node.is_folder:
            raise Refused("not-a-file")
        if which and which[0] != node.number:
            raise Refused("not-found")
        return node.revisions[which[1] - 1] if which else node.head

    # The trash

    def delete(self, *, number: int, force: bool, if_match: int | None) -> None:
        self.discard(self.target(number, if_match), force=force)

    def discard(self, node: Node, *, force: bool) -> None:
        running = [file for file in self.below(node) if not file.is_folder and file.head.processing == "running"]
        if running and not force:
            raise Refused("processing-running", *(file.number for file in running))
        node.is_trashed = True
        node.version += 1

    def restore(self, *, number: int, where: Where, name: str | None, on_conflict: str, if_match: int | None) -> Node:
        """Restore a node from the trash, to its old folder unless another one is named."""
        name = None if name is None else clean(name)
        node = self.trashed(number, if_match)
        if where is None and not self.is_live(self.nodes[node.parent or ROOT]):
            raise Refused("parent-gone")
        folder = node.parent if where is None else self.folder(where)
        assert folder is not None
        node.name, _ = self.settle(node, folder, name or node.name, on_conflict)
        node.parent, node.is_trashed = folder, False
        node.version += 1
        return node

    def purge(self, *, number: int, if_match: int | None) -> None:
        """Delete a node of the trash for good, with everything below it, including earlier deletions."""
        top = self.trashed(number, if_match)
        for node in self.trash():
            node.is_purged = top in self.above(node)

    def empty_trash(self) -> None:
        for node in self.trash():
            node.is_purged = True

    def work(self) -> None:
        """Remove the nodes that were deleted for good, with all descendants, as a worker does later."""
        for node in self.nodes:
            if any(above.is_purged for above in self.above(node)):
                node.is_gone = True

    # Shared steps

    def target(self, number: int, if_match: int | None) -> Node:
        """Return a live node for a change; the root cannot be changed."""
        node = self.live(number)
        match(node, if_match)
        if node.parent is None:
            raise Refused("root-folder")
        return node

    def trashed(self, number: int, if_match: int | None) -> Node:
        node = self.nodes[number]
        if node not in self.trash():
            raise Refused("not-found")
        match(node, if_match)
        return node

    def trashed_base(self, folder: int, name: str, base: Which) -> Node | None:
        """Return the file in the trash that an edit of its head at its name restores."""
        node = self.nodes[base[0]]
        is_head = base[1] == len(node.revisions)
        is_here = node.parent == folder and names.make_key(node.name) == names.make_key(name)
        return node if is_head and is_here and node in self.trash() else None

    def folders_of(self, path: list[str]) -> int:
        """Return the folder at a path; make the missing folders."""
        folder = ROOT
        for name in path:
            there = self.at(folder, name) or self.add(folder, name)
            if not there.is_folder:
                raise Refused("not-a-folder", there.number)
            folder = there.number
        return folder

    def settle(
        self, node: Node | None, folder: int, name: str, on_conflict: str, *, is_copy: bool = False
    ) -> tuple[str, Node | None]:
        """Return the name that a node (None: a new folder) gets in a folder, and the file that it replaces."""
        there = self.at(folder, name)
        if there is None or (there is node and not is_copy):
            return name, None
        if on_conflict == "rename":
            others = (child for child in self.children(folder) if child is not node or is_copy)
            return names.pick_free_name(name, {names.make_key(child.name) for child in others}), None
        if on_conflict == "replace" and node and not node.is_folder and not there.is_folder:
            return name, there
        raise Refused("name-taken", there.number)

    def add(self, folder: int, name: str, *revisions: Revision) -> Node:
        self.nodes.append(Node(len(self.nodes), folder, name, list(revisions)))
        return self.nodes[-1]


def match(node: Node, if_match: int | None) -> None:
    if if_match not in {None, node.version}:
        raise Refused("precondition-failed")


def clean(name: str) -> str:
    try:
        return names.clean_name(name)
    except names.BadName:
        raise Refused("invalid-name") from None


def split(path: str) -> list[str]:
    try:
        return names.split_path(path)
    except names.BadName:
        raise Refused("invalid-name") from None
