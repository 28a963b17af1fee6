"""The actions on the tree of the server: folders, places, deletes, and questions about lost nodes.

Each carries the version that it was planned for, so that the server refuses it where another device was faster. What
may run in any order goes in one request, and each item has its own answer.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from dropbox_client.client import Client
from dropbox_client.errors import ApiError
from dropbox_client.models.batches import (
    BatchResult,
    CreateFolderOperation,
    MoveOperation,
    Operation,
    TrashOperation,
    hash_tree,
)
from dropbox_client.problems import NotFound
from dropbox_client.sync.rows import Mismatch, Rows
from dropbox_client.sync.trees import (
    Fate,
    LookUp,
    MakeRemote,
    MarkRemote,
    MoveRemote,
    NodeId,
    Park,
    RemoteEntry,
    TrashRemote,
)

RemoteAction = MakeRemote | MoveRemote | TrashRemote | MarkRemote | Park | LookUp


class _Tag(NamedTuple):
    id: str
    etag: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an action was not carried out: the server said so, or its entries are not those that it was planned for."""

    action: RemoteAction
    problem: ApiError | Mismatch


class RemoteActions:
    """The actions on one account. The control thread owns it."""

    def __init__(self, client: Client, rows: Rows) -> None:
        self._client = client
        self._rows, self._state = rows, rows.state

    def run(self, actions: Sequence[RemoteAction]) -> Iterator[Refusal]:
        """Carry out the actions of one stage; yield those that were not.

        Raises: NotSignedIn, Unreachable, Stopped; Unreachable leaves it open what was done.
        """
        operations: list[tuple[RemoteAction, Operation, int | None]] = []
        for action in actions:
            try:
                if isinstance(action, LookUp):
                    self._look_up(action.ids)
                elif isinstance(action, MarkRemote):
                    self._mark(action)
                else:
                    operations.append(self._make_operation(action))
            except (ApiError, Mismatch) as problem:
                yield Refusal(action, problem)
        if not operations:
            return
        results = self._client.files.batch([operation for _, operation, _ in operations])
        for (action, _, intent), result in zip(operations, results, strict=True):
            if result.problem is None:
                with suppress(Mismatch):  # the rows have the node already
                    self._record(action, result, intent)
            else:
                if intent is not None:
                    self._state.end_intent(intent)
                yield Refusal(action, result.problem)

    def tag(self, entry: RemoteEntry) -> str:
        """Return the ETag of a node."""
        return f'"{self._state.epoch}.{entry.version}"'

    def _make_operation(self, action: RemoteAction) -> tuple[RemoteAction, Operation, int | None]:
        intent: int | None = None
        operation: Operation
        match action:
            case MakeRemote(local, parent, name):
                self._rows.find_entry(local)
                operation = CreateFolderOperation(name, parent_id=self._rows.find_parent(parent))
            case MoveRemote(remote, local, parent, name):
                if local is not None:
                    self._rows.find_entry(local)
                operation = self._make_move(remote, self._rows.find_parent(parent), name)
            case Park(RemoteEntry() as remote, parent, name):
                target = self._rows.find_parent(parent)
                operation = self._make_move(remote, target, name)
                intent = self._state.add_intent(
                    "park-remote", id=remote.id, parent=target, name=name, local_name=action.local_name.hex()
                )
            case TrashRemote(remote, below):
                tree = hash_tree(_Tag(one.id, self.tag(one)) for one in below) if remote.kind == "folder" else None
                operation = TrashOperation(remote.id, if_match=self.tag(remote), if_tree=tree)
            case _:
                raise TypeError(action)
        return action, operation, intent

    def _make_move(self, remote: RemoteEntry, parent: NodeId, name: str) -> MoveOperation:
        return MoveOperation(remote.id, parent_id=parent, name=name, on_conflict="fail", if_match=self.tag(remote))

    def _record(self, action: RemoteAction, result: BatchResult, intent: int | None) -> None:
        """Write the rows of an action that the server has carried out."""
        file = result.file
        with self._state.transaction():
            if isinstance(action, TrashRemote):
                self._remove(action.remote.id, (one.id for one in action.below))
            elif file is not None:
                entry = self._rows.put_file(file)
                if isinstance(action, MakeRemote):
                    self._rows.bind(action.local.id, entry.id)
                    self._rows.agree(entry, action.local.name)
                elif isinstance(action, MoveRemote) and action.local is not None:
                    local_name = action.local.name
                    self._rows.change_base(entry.id, parent=entry.parent, name=entry.name, local_name=local_name)
                elif isinstance(action, Park):
                    self._record_park(entry, action.local_name)
            if intent is not None:
                self._state.end_intent(intent)

    def _remove(self, top: NodeId, below: Iterable[NodeId]) -> None:
        for node_id in (top, *below):
            self._state.remove_remote(node_id)
            self._state.remove_base(node_id)

    def _record_park(self, entry: RemoteEntry, local_name: bytes) -> None:
        self._rows.change_base(entry.id, parent=entry.parent, name=entry.name, local_name=local_name)

    def _mark(self, action: MarkRemote) -> None:
        file = self._client.files.set_executable(action.remote.id, action.executable, if_match=self.tag(action.remote))
        with self._state.transaction():
            self._rows.put_file(file)
            self._rows.change_base(file.id, executable=action.executable)

    def _look_up(self, ids: Sequence[NodeId]) -> None:
        """Record what became of nodes. One that lives outside the root has no other sign of it than its path."""
        states = {state.id: state.state for state in self._client.files.lookup(ids)}
        fates: dict[NodeId, Fate] = {node_id: state for node_id, state in states.items() if state != "live"}
        fates |= dict.fromkeys(self._find_outside([one for one in states if one not in fates]), "live")
        if not fates:
            raise Mismatch("the server has it: events will tell where")
        self._state.put_fates(fates)

    def _find_outside(self, ids: Sequence[NodeId]) -> Iterator[NodeId]:
        """Yield the nodes outside the root: one request for a folder that was moved away, none for what is below."""
        root_id = self._state.root_id
        assert root_id is not None, "State.set_root comes first"  # noqa: S101
        if not ids:
            return
        above = self._client.files.get(root_id).path.rstrip("/") + "/"

        wanted = set(ids)

        @cache
        def is_outside(node_id: NodeId) -> bool:
            base = self._state.find_base(node_id)
            if base and base.parent in wanted and is_outside(base.parent):
                return True
            with suppress(NotFound):
                return not self._client.files.get(node_id).path.startswith(above)
            return False

        yield from filter(is_outside, ids)

    def recover(self) -> None:
        """Find out whether parked nodes were parked, before a crash or a lost answer. Call before a plan.

        Raises: NotSignedIn, Unreachable, Stopped, ApiError.
        """
        for intent in self._state.list_intents():
            if intent.kind != "park-remote":
                continue
            detail = intent.detail
            try:
                file = self._client.files.get(detail["id"])
            except NotFound:
                file = None
            with self._state.transaction():
                if file is not None and (file.parent_id, file.name) == (detail["parent"], detail["name"]):
                    self._record_park(self._rows.put_file(file), bytes.fromhex(detail["local_name"]))
                self._state.end_intent(intent.number)
