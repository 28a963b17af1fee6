"""Batches of changes of files and folders."""

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from hashlib import sha256
from typing import Any, ClassVar, Literal, Protocol

from dropbox_client.errors import ApiError
from dropbox_client.models.base import Model, read_problem
from dropbox_client.models.files import File, OnConflict


class _Operation:
    """An operation of a batch. `if_match` is the expected `etag`.

    The folder is `parent_id`, or the one that the `CreateFolderOperation` number `parent_item` (from 0) makes.
    """

    _op: ClassVar[str]

    def to_json(self) -> dict[str, Any]:
        members = {member.name: getattr(self, member.name) for member in fields(self)}  # type: ignore[arg-type]
        return {"op": self._op, **{name: value for name, value in members.items() if value is not None}}


@dataclass(frozen=True)
class MoveOperation(_Operation):
    """Rename a file or folder, move it, or both, as `Client.files.move` does."""

    _op: ClassVar = "move"

    file_id: str
    parent_id: str | None = field(default=None, kw_only=True)
    parent_item: int | None = field(default=None, kw_only=True)
    name: str | None = field(default=None, kw_only=True)
    on_conflict: OnConflict = field(default="fail", kw_only=True)
    if_match: str | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class CopyOperation(MoveOperation):
    """Copy a file or a folder tree, as `Client.files.copy` does."""

    _op: ClassVar = "copy"


@dataclass(frozen=True)
class TrashOperation(_Operation):
    """Move a file or a folder tree to the trash; `if_tree` is the `hash_tree` of all that is expected below it."""

    _op: ClassVar = "trash"

    file_id: str
    if_match: str | None = field(default=None, kw_only=True)
    if_tree: str | None = field(default=None, kw_only=True)
    force: bool = field(default=False, kw_only=True)


@dataclass(frozen=True)
class RestoreOperation(_Operation):
    """Restore a file or a folder tree from the trash, as `Client.trash.restore` does."""

    _op: ClassVar = "restore"

    file_id: str
    parent_id: str | None = field(default=None, kw_only=True)
    parent_item: int | None = field(default=None, kw_only=True)
    name: str | None = field(default=None, kw_only=True)
    on_conflict: Literal["fail", "rename"] = field(default="rename", kw_only=True)
    if_match: str | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class CreateFolderOperation(_Operation):
    """Create a folder in another one, by default in the root folder."""

    _op: ClassVar = "create_folder"

    name: str
    parent_id: str | None = field(default=None, kw_only=True)
    parent_item: int | None = field(default=None, kw_only=True)
    on_conflict: Literal["fail", "rename", "reuse"] = field(default="fail", kw_only=True)


Operation = MoveOperation | CopyOperation | TrashOperation | RestoreOperation | CreateFolderOperation
"""An item of a batch."""


@dataclass(frozen=True)
class BatchResult(Model):
    """The result of one operation: the file as it is after the batch (None after `trash`), or the `problem`."""

    _readers: ClassVar = {"file": File.from_json, "problem": read_problem}

    status: int
    file: File | None = None
    problem: ApiError | None = None


class _Tagged(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def etag(self) -> str: ...


def hash_tree(files: Iterable[_Tagged]) -> str:
    """Return the `if_tree` of a folder from all files and folders below it, `files.list(folder, recursive=True)`."""
    lines = sorted(f"{file.id} {file.etag}\n" for file in files)
    return sha256("".join(lines).encode()).hexdigest()
