"""The start of every change of the tree: lock the owner, check permission under the lock, compare `If-Match`.

Changes of one owner's tree are serial, so values read under the lock stay true until the transaction ends: no two moves
make a cycle, no two files get one name.
"""

import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import ARRAY, any_, literal, select, update

from dropbox_api import access, problems
from dropbox_api.db import Tx
from dropbox_api.files.etags import format_etag, names_etag
from dropbox_api.models import Id, Node, User
from dropbox_api.plumbing.epoch import EPOCH

OWNER_IS_FULL = "The owner of the folder has not enough space left"


class OwnerCounters(NamedTuple):
    """The quota of an owner and its use: bytes, and files and folders."""

    quota_bytes: int
    used_bytes: int
    reserved_bytes: int
    quota_nodes: int
    used_nodes: int
    reserved_nodes: int

    @property
    def free_bytes(self) -> int:
        """Less than 0 after the quota was lowered, as `free_nodes`."""
        return self.quota_bytes - self.used_bytes - self.reserved_bytes

    @property
    def free_nodes(self) -> int:
        return self.quota_nodes - self.used_nodes - self.reserved_nodes

    def find_shortage(self, size_bytes: int, *, is_own: bool) -> problems.QuotaExceeded | None:
        """Return the problem where so many more bytes do not fit; the numbers of other accounts stay hidden."""
        if size_bytes <= self.free_bytes:
            return None
        if not is_own:
            return problems.QuotaExceeded(OWNER_IS_FULL, needed_bytes=size_bytes)
        return problems.QuotaExceeded(
            quota_bytes=self.quota_bytes,
            used_bytes=self.used_bytes,
            reserved_bytes=self.reserved_bytes,
            needed_bytes=size_bytes,
        )


_COUNTERS = (
    User.quota_bytes,
    User.used_bytes,
    User.reserved_bytes,
    User.quota_nodes,
    User.used_nodes,
    User.reserved_nodes,
)


async def lock_owner(tx: Tx, owner_id: uuid.UUID) -> OwnerCounters:
    """Take the lock that every change of an owner's tree begins with; return the owner's counters.

    NO KEY UPDATE: it excludes other changes, but no sign-in, which only refers to the user.
    """
    locked = select(*_COUNTERS).where(User.id == owner_id).with_for_update(key_share=True)
    return OwnerCounters(*(await tx.execute(locked)).one())


async def count_free_nodes(tx: Tx, owner_id: uuid.UUID) -> int:
    """Return how many more files and folders the owner's quota permits."""
    room = select(User.quota_nodes - User.used_nodes - User.reserved_nodes).where(User.id == owner_id)
    return (await tx.execute(room)).scalar_one()


@dataclass(frozen=True, slots=True)
class LockedNode:
    """A node whose owner's lock the transaction holds."""

    id: uuid.UUID
    owner_id: uuid.UUID
    parent_id: uuid.UUID | None
    """None for the root folder."""
    kind: str
    """"file" or "folder"."""
    name: str
    name_key: str
    head_revision_id: uuid.UUID | None
    """None for a folder."""
    version: int
    epoch: str
    """The epoch of the data when the lock was held: an ETag of an older one never matches."""

    @property
    def etag(self) -> str:
        return format_etag(self.epoch, self.version)

    @property
    def folder_id(self) -> uuid.UUID:
        """The folder that holds the node. Raises RootFolder."""
        if self.parent_id is None:
            raise problems.RootFolder
        return self.parent_id

    @property
    def revision_id(self) -> uuid.UUID:
        """The head revision of a file. Raises NotAFile."""
        if self.head_revision_id is None:
            raise problems.NotAFile
        return self.head_revision_id


_NODE = (
    Node.id,
    Node.owner_id,
    Node.parent_id,
    Node.kind,
    Node.name,
    Node.name_key,
    Node.head_revision_id,
    Node.version,
    EPOCH,
)


async def lock_node(tx: Tx, actor_id: uuid.UUID, node_id: uuid.UUID, role: access.Role) -> LockedNode:
    """Lock the owner of a live node on which the actor has at least `role`; return the node.

    Raises NotFound, Forbidden.
    """
    granted = await access.require_role(tx, actor_id, node_id, role)
    await lock_owner(tx, granted.owner_id)
    await access.require_role(tx, actor_id, node_id, role)
    return await _get_locked(tx, node_id)


async def lock_trashed_node(tx: Tx, actor_id: uuid.UUID, node_id: uuid.UUID) -> LockedNode:
    """Lock the owner, who is the actor, of a node that was itself deleted; return the node. Raises NotFound."""
    granted = await access.require_trashed(tx, actor_id, node_id)
    await lock_owner(tx, granted.owner_id)
    await access.require_trashed(tx, actor_id, node_id)
    return await _get_locked(tx, node_id)


async def lock_editable_file(tx: Tx, actor_id: uuid.UUID, node_id: uuid.UUID) -> LockedNode:
    """Lock the owner of a file that new content may change or restore (`access.find_editable_files`); return it.

    Raises NotFound, Forbidden, NotAFile, ParentGone.
    """
    file = await access.require_editable_file(tx, actor_id, node_id)
    await lock_owner(tx, file.owner_id)
    await access.require_editable_file(tx, actor_id, node_id)
    return await _get_locked(tx, node_id)


async def _get_locked(tx: Tx, node_id: uuid.UUID) -> LockedNode:
    (node,) = await load_nodes(tx, [node_id])
    return node


async def load_nodes(tx: Tx, node_ids: Collection[uuid.UUID]) -> list[LockedNode]:
    """Return nodes whose owner's lock the transaction holds."""
    return [
        LockedNode(*row)
        for row in await tx.execute(select(*_NODE).where(Node.id == any_(literal(list(node_ids), ARRAY(Id)))))
    ]


def require_match(node: LockedNode, if_match: str | None) -> None:
    """Compare a node's ETag with an If-Match header (RFC 9110 section 13.1.1): `*`, or a list of ETags.

    Claim the idempotency key before this check: a first request under the same key has changed the version.
    Raises PreconditionFailed, InvalidRequest (not a list of ETags).
    """
    if if_match is not None and not names_etag("If-Match", if_match, node.etag):
        raise problems.PreconditionFailed(etag=node.etag)


def require_no_match(node: LockedNode, if_none_match: str | None) -> None:
    """Compare a node's ETag with an If-None-Match header (RFC 9110 section 13.1.2), as `require_match` does.

    Raises PreconditionFailed, InvalidRequest (not a list of ETags).
    """
    if if_none_match is not None and names_etag("If-None-Match", if_none_match, node.etag):
        raise problems.PreconditionFailed("The file exists in a version that If-None-Match names", etag=node.etag)


async def update_node(tx: Tx, node_id: uuid.UUID, values: Mapping[str, Any]) -> None:
    """Set columns of a node and count its version up; `modified_at` is the time of the content and stays."""
    await tx.execute(update(Node).where(Node.id == node_id).values(version=Node.version + 1, **values))
