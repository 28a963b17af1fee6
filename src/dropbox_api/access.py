"""Who may do what to a node: the only permission code.

Today a node has one person who may touch it, its owner; everybody else gets `not-found`, as for a node that does not
exist. Every service function that takes an id of a node asks here first.
"""

import uuid
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import text

from dropbox_api import problems
from dropbox_api.db import Tx

Role = Literal["owner"]


@dataclass(frozen=True, slots=True)
class Access:
    """A node that the actor may see, and what they are to it."""

    node_id: uuid.UUID
    owner_id: uuid.UUID
    kind: Literal["file", "folder"]
    role: Role


_REQUIRE = text("""
    WITH RECURSIVE chain AS (
        SELECT id, owner_id, kind, parent_id, trashed_at, 0 AS depth FROM nodes WHERE id = :node_id
        UNION ALL
        SELECT up.id, up.owner_id, up.kind, up.parent_id, up.trashed_at, depth + 1
        FROM nodes up JOIN chain ON up.id = chain.parent_id
    )
    SELECT id, owner_id, kind FROM chain
    WHERE depth = 0 AND owner_id = :actor_id AND NOT EXISTS (SELECT FROM chain WHERE trashed_at IS NOT NULL)
""")


_REQUIRE_TRASHED = text("""
    SELECT id, owner_id, kind FROM nodes
    WHERE id = :node_id AND owner_id = :actor_id AND trashed_at IS NOT NULL AND purged_at IS NULL
""")


async def require_trashed(tx: Tx, actor_id: uuid.UUID, node_id: uuid.UUID) -> Access:
    """Return what the actor is to a node that lies in the trash itself (not merely below one that does).

    Raises NotFound when there is no such node, it is not in the trash or was purged, or it is not theirs.
    """
    row = (await tx.execute(_REQUIRE_TRASHED, {"actor_id": actor_id, "node_id": node_id})).one_or_none()
    if row is None:
        raise problems.NotFound
    return Access(node_id=row.id, owner_id=row.owner_id, kind=row.kind, role="owner")


async def require(tx: Tx, actor_id: uuid.UUID, node_id: uuid.UUID) -> Access:
    """Return what the actor is to a live node.

    Raises NotFound when there is no such node, it (or a folder above it) is in the trash, or it is not theirs.
    """
    row = (await tx.execute(_REQUIRE, {"actor_id": actor_id, "node_id": node_id})).one_or_none()
    if row is None:
        raise problems.NotFound
    return Access(node_id=row.id, owner_id=row.owner_id, kind=row.kind, role="owner")
