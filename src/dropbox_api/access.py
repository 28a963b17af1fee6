"""Who may do what to a node: the only permission code.

A node's owner may do everything. Others are what the best grant on the node, or on a folder above it, makes them:
viewers read, editors change. Whoever is nothing to a node gets `not-found`, as for one that does not exist; whoever may
see it but not do that gets `forbidden`. Every service function that takes an id asks here, with one statement, and asks
again once it holds the owner's lock.

What a role may do is settled by the services, each naming the role that it needs; `docs/security.md` has the table.
"""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple

from sqlalchemy import ARRAY, ColumnElement, any_, literal, or_, text

from dropbox_api import problems
from dropbox_api.db import Tx
from dropbox_api.models import Id, Node

Role = Literal["viewer", "editor", "owner"]

_RANK: dict[Role, int] = {"viewer": 1, "editor": 2, "owner": 3}


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
    ), granted AS (
        SELECT bool_or(role = 'editor') AS is_editor
        FROM chain JOIN grants ON grants.node_id = chain.id AND grants.grantee_id = :actor_id
    )
    SELECT chain.id, chain.owner_id, chain.kind,
        CASE WHEN chain.owner_id = :actor_id THEN 'owner' WHEN is_editor THEN 'editor' ELSE 'viewer' END AS role
    FROM chain, granted
    WHERE chain.depth = 0 AND (chain.owner_id = :actor_id OR is_editor IS NOT NULL)
        AND NOT EXISTS (SELECT FROM chain WHERE trashed_at IS NOT NULL)
""")


async def require(tx: Tx, actor_id: uuid.UUID, node_id: uuid.UUID, role: Role = "viewer") -> Access:
    """Return what the actor is to a live node, which is at least `role`.

    Raises NotFound when there is no such node, it (or a folder above it) is in the trash, or the actor is nothing to
    it; Forbidden when they are less than `role`.
    """
    return _at_least(role, (await tx.execute(_REQUIRE, {"actor_id": actor_id, "node_id": node_id})).one_or_none())


async def is_editor(tx: Tx, actor_id: uuid.UUID, node_id: uuid.UUID) -> bool:
    """Tell whether the actor is at least an editor of a node."""
    try:
        await require(tx, actor_id, node_id, "editor")
    except (problems.NotFound, problems.Forbidden):
        return False
    return True


_IS_EDITOR = text("SELECT EXISTS (SELECT FROM grants WHERE grantee_id = :actor_id AND role = 'editor')")


async def is_editor_elsewhere(tx: Tx, actor_id: uuid.UUID) -> bool:
    """Tell whether the actor may change anything that is not theirs."""
    return bool((await tx.execute(_IS_EDITOR, {"actor_id": actor_id})).scalar_one())


_REQUIRE_TRASHED = text("""
    SELECT id, owner_id, kind, 'owner' AS role FROM nodes
    WHERE id = :node_id AND owner_id = :actor_id AND trashed_at IS NOT NULL AND purged_at IS NULL
""")


async def require_trashed(tx: Tx, actor_id: uuid.UUID, node_id: uuid.UUID, role: Role = "owner") -> Access:
    """Return what the actor is to a node that lies in the trash itself (not merely below one that does).

    The trash is its owner's: to all others what is in it is gone.
    Raises NotFound when there is no such node, it is not in the trash or was purged, or it is not theirs.
    """
    row = (await tx.execute(_REQUIRE_TRASHED, {"actor_id": actor_id, "node_id": node_id})).one_or_none()
    return _at_least(role, row)


def _at_least(role: Role, row: Any) -> Access:
    if row is None:
        raise problems.NotFound
    if _RANK[row.role] < _RANK[role]:
        raise problems.Forbidden(role=row.role, needs=role)
    return Access(row.id, row.owner_id, row.kind, row.role)


_REQUIRE_BELOW = text("""
    WITH RECURSIVE chain AS (
        SELECT id, owner_id, kind, parent_id, trashed_at, 0 AS depth FROM nodes WHERE id = :node_id
        UNION ALL
        SELECT up.id, up.owner_id, up.kind, up.parent_id, up.trashed_at, depth + 1
        FROM nodes up JOIN chain ON up.id = chain.parent_id
    )
    SELECT chain.id, chain.owner_id, chain.kind, 'viewer' AS role FROM chain
    WHERE chain.depth = 0 AND EXISTS (SELECT FROM chain WHERE id = :top_id)
        AND NOT EXISTS (SELECT FROM chain WHERE trashed_at IS NOT NULL)
""")


async def require_below(tx: Tx, top_id: uuid.UUID, node_id: uuid.UUID) -> Access:
    """Return a live node that is the top of a share or lies below it: what a link lets its bearer see.

    Raises NotFound.
    """
    return _at_least("viewer", (await tx.execute(_REQUIRE_BELOW, {"top_id": top_id, "node_id": node_id})).one_or_none())


@dataclass(frozen=True, slots=True)
class LinkAccess:
    """A link that works: what it leads to, and what for."""

    link_id: uuid.UUID
    mode: Literal["view", "download", "upload"]
    password_hash: str | None
    """Whoever has the token only is still to be asked for the password."""
    expires_at: datetime | None
    top: Access
    """As a viewer sees it."""
    name: str


_REQUIRE_LINK = text("""
    WITH RECURSIVE link AS (
        SELECT links.* FROM links JOIN users ON users.id = links.created_by
        WHERE links.id = :link_id AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
            AND (max_downloads IS NULL OR downloads < max_downloads) AND users.disabled_at IS NULL
    ), chain AS (
        SELECT nodes.id, owner_id, parent_id, kind, name, trashed_at, 0 AS depth FROM nodes
        WHERE id = (SELECT node_id FROM link)
        UNION ALL
        SELECT up.id, up.owner_id, up.parent_id, up.kind, up.name, up.trashed_at, depth + 1
        FROM nodes up JOIN chain ON up.id = chain.parent_id
    )
    SELECT link.id, link.mode, link.password_hash, link.expires_at, link.node_id, chain.owner_id, chain.kind, chain.name
    FROM link JOIN chain ON chain.depth = 0 AND chain.owner_id = link.created_by
    WHERE NOT EXISTS (SELECT FROM chain WHERE trashed_at IS NOT NULL)
""")


async def require_link(tx: Tx, link_id: uuid.UUID) -> LinkAccess:
    """Return a link that works.

    Raises NotFound, the same for one that never was, was revoked, has expired or is used up, whose node is in the
    trash, or whose maker is disabled or owns the node no more.
    """
    row = (await tx.execute(_REQUIRE_LINK, {"link_id": link_id})).one_or_none()
    if row is None:
        raise problems.NotFound
    top = Access(row.node_id, row.owner_id, row.kind, "viewer")
    return LinkAccess(row.id, row.mode, row.password_hash, row.expires_at, top, row.name)


_VISIBLE = text("""
    WITH RECURSIVE up AS (
        SELECT id AS start, id, parent_id, owner_id, name, 0 AS height FROM nodes WHERE id = ANY(CAST(:ids AS uuid[]))
        UNION ALL
        SELECT up.start, above.id, above.parent_id, above.owner_id, above.name, height + 1
        FROM up JOIN nodes above ON above.id = up.parent_id
    ), seen AS (
        SELECT up.*, grants.role, max(height) FILTER (WHERE grants.role IS NOT NULL) OVER (PARTITION BY start) AS top
        FROM up LEFT JOIN grants ON grants.node_id = up.id AND grants.grantee_id = :actor_id
    )
    SELECT start, bool_or(owner_id = :actor_id) AS is_owner, bool_or(role = 'editor') AS is_editor, min(top) AS top,
        string_agg('/' || name, '' ORDER BY height DESC)
            FILTER (WHERE parent_id IS NOT NULL AND (owner_id = :actor_id OR height <= top)) AS path
    FROM seen GROUP BY start HAVING bool_or(owner_id = :actor_id) OR min(top) IS NOT NULL
""")


class Visibility(NamedTuple):
    """How somebody sees a node."""

    path: str
    """From where their access begins: the owner's root, or the node that was shared with them."""
    role: Role
    is_top: bool
    """Nothing above it is theirs to see."""


async def find_visible(tx: Tx, actor_id: uuid.UUID, node_ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, Visibility]:
    """Return how the actor sees each of these nodes; those that are not theirs to see are left out."""
    rows = await tx.execute(_VISIBLE, {"ids": list(node_ids), "actor_id": actor_id})
    return {
        row.start: Visibility(
            row.path or "/",
            "owner" if row.is_owner else "editor" if row.is_editor else "viewer",
            not row.is_owner and row.top == 0,
        )
        for row in rows
    }


_SHARED_WITH = text("""
    WITH RECURSIVE folders AS (
        SELECT node_id AS id FROM grants WHERE grantee_id = :actor_id
        UNION
        SELECT child.id FROM folders JOIN nodes child ON child.parent_id = folders.id
        WHERE child.kind = 'folder' AND child.trashed_at IS NULL
    )
    SELECT id FROM folders
""")


async def visible_condition(tx: Tx, actor_id: uuid.UUID) -> ColumnElement[bool]:
    """Return the condition that a node is the actor's own or shared with them; trash is not looked at."""
    shared = (await tx.execute(_SHARED_WITH, {"actor_id": actor_id})).scalars().all()
    if not shared:
        return Node.owner_id == actor_id
    ids = literal(shared, ARRAY(Id))
    return or_(Node.owner_id == actor_id, Node.parent_id == any_(ids), Node.id == any_(ids))


_IN_TRASH = text("""
    WITH RECURSIVE up AS (
        SELECT id AS start, parent_id, trashed_at FROM nodes WHERE id = ANY(CAST(:ids AS uuid[]))
        UNION ALL
        SELECT up.start, above.parent_id, above.trashed_at FROM up JOIN nodes above ON above.id = up.parent_id
    )
    SELECT DISTINCT start FROM up WHERE trashed_at IS NOT NULL
""")


async def find_trashed(tx: Tx, node_ids: Iterable[uuid.UUID]) -> set[uuid.UUID]:
    """Return which of these nodes are in the trash, by themselves or with a folder above."""
    return set((await tx.execute(_IN_TRASH, {"ids": list(node_ids)})).scalars())
