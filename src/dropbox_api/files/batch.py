"""Batches of changes: up to 500 operations on the tree in one request, each with its own answer.

The items of one owner share a transaction under that owner's lock, in which the operations of single requests run. The
key of the request keeps the answers of each owner's items in that transaction, so a repetition after a crash between
two owners answers the first ones from there and runs the others.
"""

import asyncio
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby

from pydantic import BaseModel

from dropbox_api import access, problems
from dropbox_api.context import Context
from dropbox_api.core import names
from dropbox_api.db import Tx
from dropbox_api.files import edits, guard, paths, trash, tree, views
from dropbox_api.files.edits import TreeEdit
from dropbox_api.files.etags import add_quotes
from dropbox_api.files.paths import NodeKey, Target
from dropbox_api.files.schemas import (
    BatchResult,
    BatchResults,
    CopyFile,
    CopyOperation,
    CreateFolderOperation,
    MoveOperation,
    Operation,
    PlacedOperation,
    RestoreFile,
    RestoreOperation,
    TrashOperation,
    UpdateFile,
)
from dropbox_api.plumbing import idempotency
from dropbox_api.plumbing.failpoints import failpoint
from dropbox_api.plumbing.idempotency import Once, Replayed
from dropbox_api.responses import describe_problem

_ITEMS_AT_ONCE = 50
"""After so many items the event loop runs other tasks."""


class _Part(BaseModel):
    """The answers to the items of one owner, by their numbers."""

    items: dict[int, BatchResult]
    copied: int
    """How many nodes these items copied."""


async def run_batch(context: Context, operations: Sequence[Operation], once: Once | None) -> BatchResults:
    """Run operations in order, those of each owner in one transaction; return the answers in order.

    Raises Replayed, IdempotencyMismatch. A problem of an item is its answer: the item changes nothing.
    Transaction: one for each owner, in the order of their ids, under the owner's lock. Idempotent: by `once`.
    """
    async with context.db.read() as tx:
        owners, root_id = await _find_owners(tx, context.actor_id, operations)
    # Also of items whose tree the actor sees only since an earlier attempt, whose answers are repeated below.
    results = {number: _refuse_unseen(operation) for number, operation in enumerate(operations)}
    copies_left = edits.MAX_COPY_NODES
    for owner_id in sorted({owner for owner in owners if owner is not None}):
        run_of = partial(_Run, operations=operations, owners=owners, root_id=root_id)
        part = await _run_of_owner(context, run_of, owner_id, copies_left, once)
        results |= part.items
        copies_left -= part.copied
        await failpoint("files.batch.after_owner")
    answer = BatchResults(items=[results[number] for number in range(len(operations))])
    await idempotency.record_answer(context.db, once, 200, answer)
    return answer


def _refuse_unseen(operation: Operation) -> BatchResult:
    """Return the answer to an operation on a tree that the actor may not see."""
    if isinstance(operation, CreateFolderOperation) and operation.parent_item is not None:
        return _refuse(problems.DependencyFailed(item=operation.parent_item))
    return _refuse(problems.NotFound())


async def _find_owners(
    tx: Tx, actor_id: uuid.UUID, operations: Sequence[Operation]
) -> tuple[list[uuid.UUID | None], uuid.UUID]:
    """Return the owner whose tree each operation changes (None: the actor may see no such tree), and the actor's root.

    Only trees that the actor may see are locked, so the time of an answer does not tell whether a foreign id exists.
    """
    root_id = await paths.get_root_id(tx, actor_id)
    found = await access.find_owners(tx, actor_id, {_find_subject(operation) or root_id for operation in operations})
    owners: list[uuid.UUID | None] = []
    for operation in operations:
        if isinstance(operation, CreateFolderOperation) and operation.parent_item is not None:
            owners.append(owners[operation.parent_item])
        else:
            owners.append(found.get(_find_subject(operation) or root_id))
    return owners, root_id


def _find_subject(operation: Operation) -> uuid.UUID | None:
    """Return the node by which an operation names a tree."""
    return operation.parent_id if isinstance(operation, CreateFolderOperation) else operation.file_id


@dataclass(slots=True)
class _Run:
    """The items of one owner, run in one transaction."""

    edit: TreeEdit
    operations: Sequence[Operation]
    owners: Sequence[uuid.UUID | None]
    root_id: uuid.UUID
    made: dict[int, uuid.UUID] = field(default_factory=dict)
    """The node that each item made or changed."""
    statuses: dict[int, int | problems.Problem] = field(default_factory=dict)
    _waiting: dict[int, tuple[uuid.UUID, Target]] = field(default_factory=dict)
    """The checked copies of files that are not written yet, by item: the head revision and the target."""
    _replaced: set[uuid.UUID] = field(default_factory=set)
    """The files that the waiting copies may replace."""

    async def run_all(self, numbers: Sequence[int]) -> None:
        """Run the items in order; copies of files that follow one another are written together."""
        done = 0
        for _, group in groupby(numbers, key=lambda number: isinstance(self.operations[number], CopyOperation)):
            together = list(group)
            await self._prefetch(together)
            for number in together:
                try:
                    self.statuses[number] = await self._run(number)
                except problems.Problem as problem:
                    self.statuses[number] = problem
                done += 1
                if done % _ITEMS_AT_ONCE == 0:
                    await asyncio.sleep(0)
            await self._write_copies()
        await self.edit.flush()

    async def _run(self, number: int) -> int:
        """Run one item; return the status of the single operation. Raises the problems of the single operation."""
        operation, edit = self.operations[number], self.edit
        match operation:
            case MoveOperation():
                move = UpdateFile(
                    name=operation.name, parent_id=self._find_parent(operation), on_conflict=operation.on_conflict
                )
                await tree.change_place(edit, operation.file_id, move, _get_if_match(operation))
                self.made[number] = operation.file_id
                return 200
            case CopyOperation():
                copy = CopyFile(
                    name=operation.name, parent_id=self._find_parent(operation), on_conflict=operation.on_conflict
                )
                await self._copy(number, operation, copy)
                return 201
            case RestoreOperation():
                restore = RestoreFile(
                    name=operation.name, parent_id=self._find_parent(operation), on_conflict=operation.on_conflict
                )
                await trash.restore(edit, operation.file_id, restore, _get_if_match(operation))
                self.made[number] = operation.file_id
                return 200
            case TrashOperation():
                if_match = _get_if_match(operation)
                await trash.delete(
                    edit, operation.file_id, if_match=if_match, if_tree=operation.if_tree, force=operation.force
                )
                return 204
            case CreateFolderOperation():
                name, parent_id = paths.clean_name(operation.name), self._find_parent(operation) or self.root_id
                self.made[number] = await tree.make_folder(edit, parent_id, name, operation.on_conflict)
                return 201

    async def _copy(self, number: int, operation: CopyOperation, copy: CopyFile) -> None:
        """Copy a folder, or check the copy of a file, which is written with the next ones.

        A waiting copy changes nothing that the checks of the next ones read, except the file that it replaces and the
        number of copies that are left.
        """
        edit, if_match = self.edit, _get_if_match(operation)
        if operation.file_id in self._replaced or len(self._waiting) >= edit.copies_left:
            await self._write_copies()
        node, target = await tree.check_copy(edit, operation.file_id, copy, if_match)
        if node.kind == "folder":
            await self._write_copies()
            self.made[number] = await tree.copy(edit, operation.file_id, copy, if_match)
            return
        if target.on_conflict == "replace" and (holder := await edit.find_holder(target.key)):
            self._replaced.add(holder.node_id)
        self._waiting[number] = (node.revision_id, target)

    async def _write_copies(self) -> None:
        """Write the waiting copies; each gets its own answer."""
        if not self._waiting:
            return
        copied = await tree.copy_files(self.edit, list(self._waiting.values()))
        for number, copy_id in zip(self._waiting, copied, strict=True):
            if isinstance(copy_id, problems.Problem):
                self.statuses[number] = copy_id
            else:
                self.made[number] = copy_id
        self._waiting.clear()
        self._replaced.clear()

    def _find_parent(self, operation: PlacedOperation) -> uuid.UUID | None:
        """Return the folder that an operation names. Raises DependencyFailed, CrossOwner."""
        item = operation.parent_item
        if item is None:
            return operation.parent_id
        if self.owners[item] not in {None, self.edit.owner_id}:
            raise problems.CrossOwner
        if item not in self.made:
            raise problems.DependencyFailed(item=item)
        return self.made[item]

    async def _prefetch(self, numbers: Sequence[int]) -> None:
        """Read what the items need in a few statements: nodes, folders, permissions, and the nodes at their targets."""
        edit, operations = self.edit, [self.operations[number] for number in numbers]
        subjects = {op.file_id for op in operations if not isinstance(op, CreateFolderOperation)}
        parents = {op.parent_id for op in operations if not isinstance(op, TrashOperation) and op.parent_id}
        await edit.load({*subjects, *parents, self.root_id})
        await edit.load_nodes(subjects)
        await edit.load_names([place for op in operations if (place := self._find_place(op))])
        moved = (edit.find_known(op.file_id) for op in operations if isinstance(op, MoveOperation | RestoreOperation))
        await edit.load_heights({node.id for node in moved if node and node.kind == "folder"})

    def _find_place(self, operation: Operation) -> NodeKey | None:
        """Return the name that an operation needs, as far as that is known before the batch."""
        if isinstance(operation, TrashOperation) or operation.parent_item is not None:
            return None
        node = None if isinstance(operation, CreateFolderOperation) else self.edit.find_known(operation.file_id)
        parent_id = operation.parent_id or (node.parent_id if node else self.root_id)
        try:
            name = paths.clean_name(operation.name) if operation.name else node.name if node else None
        except problems.InvalidName:
            return None
        return (parent_id, names.make_key(name)) if name and parent_id else None


async def _run_of_owner(
    context: Context, run_of: Callable[[TreeEdit], _Run], owner_id: uuid.UUID, copies_left: int, once: Once | None
) -> _Part:
    """Run the items of one owner, or return their answers from an earlier attempt. Raises as `run_batch`."""
    async with context.db.begin() as tx:
        await guard.lock_owner(tx, owner_id)
        await idempotency.claim_key(tx, once)
        once_of_owner = once and once.part(owner_id)
        try:
            await idempotency.claim_key(tx, once_of_owner)
        except Replayed as replayed:
            return _Part.model_validate_json(replayed.answer)
        run = run_of(TreeEdit(tx, context.actor_id, owner_id, max_copies=copies_left))
        numbers = [number for number, owner in enumerate(run.owners) if owner == owner_id]
        await run.run_all(numbers)
        files = await views.find_files(tx, context.actor_id, set(run.made.values()))
        part = _Part(
            items={
                number: _refuse(status)
                if isinstance(status, problems.Problem)
                else BatchResult(
                    status=status, file=files.get(run.made[number]) if number in run.made else None, problem=None
                )
                for number, status in run.statuses.items()
            },
            copied=copies_left - run.edit.copies_left,
        )
        await idempotency.keep_answer(tx, once_of_owner, 200, part)
    return part


def _get_if_match(operation: MoveOperation | CopyOperation | RestoreOperation | TrashOperation) -> str | None:
    return None if operation.if_match is None else add_quotes(operation.if_match)


def _refuse(problem: problems.Problem) -> BatchResult:
    return BatchResult(status=problem.status, file=None, problem=describe_problem(problem))
