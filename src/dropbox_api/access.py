"""Permission: the role of an account on a node. No other module decides about roles, grants or the trash.

The owner of a node may do everything. Another account has the highest role that a grant gives it on the node or on a
folder above: viewers read, editors change. Callers without access get `not-found`, exactly as for a missing node;
callers with too low a role get `forbidden`. An operation checks permission with one statement, and again under the
owner's lock before it writes.

Each operation names the role that it needs; `docs/security.md` has the table.
"""

import uuid
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NamedTuple

from sqlalchemy import ARRAY, ColumnElement, any_, literal, or_, text

from dropbox_api import problems
from dropbox_api.accounts import actors
from dropbox_api.db import Tx
from dropbox_api.models import UPLOAD_TOKEN, Id, Node

Role = Literal["viewer", "editor", "owner"]

_RANK: dict[Role, int] = {"viewer": 1, "editor": 2, "owner": 3}


@dataclass(frozen=True, slots=True)
class Access:
    """A node that an account may read, and the role of that account."""

    node_id: uuid.UUID
    owner_id: uuid.UUID
    kind: Literal["file", "folder"]
    role: Role


# The walk to the root


def ancestors_cte(source: str, *columns: str, start: str = "nodes.id", climb: str = "true") -> str:
    """Return the recursive CTE `ancestors`: nodes, and all folders above each of them.

    `source` is the FROM clause that selects the nodes, with its WHERE. Each row has `start` (by default the id of the
    node where the walk began), `id`, `parent_id`, `height` (0 for that node) and the given columns of `nodes`. The walk
    goes on while `climb` holds, a condition on the last row, `ancestors`, and the folder above it, `above`.
    """
    own = "".join(f", nodes.{column}" for column in columns)
    above = "".join(f", above.{column}" for column in columns)
    return f"""ancestors AS (
        SELECT {start} AS start, nodes.id, nodes.parent_id, 0 AS height{own} FROM {source}
        UNION ALL
        SELECT ancestors.start, above.id, above.parent_id, height + 1{above}
        FROM ancestors JOIN nodes above ON above.id = ancestors.parent_id WHERE {climb}
    )"""


def children_of(parent: str, *columns: str, where: str = "true") -> str:
    """Return the item `child` of a FROM clause: the children of the rows of `parent`, with `id` and the given columns.

    OFFSET makes Postgres look up the children of each node by index: in a walk down it expects far more nodes than
    there are, and would read the whole table.
    """
    selected = ", ".join(("id", *columns))
    return f"LATERAL (SELECT {selected} FROM nodes WHERE parent_id = {parent}.id AND {where} OFFSET 0) child"


_ONE = "nodes WHERE nodes.id = :node_id"
_MANY = "nodes WHERE nodes.id = ANY(CAST(:ids AS uuid[]))"

_ROLES = """roles AS (
        SELECT start,
            CASE
                WHEN bool_or(height = 0 AND ancestors.owner_id = :actor_id) THEN 'owner'
                WHEN bool_or(grants.role = 'editor') THEN 'editor'
                WHEN bool_or(grants.role = 'viewer') THEN 'viewer'
            END AS role,
            max(height) FILTER (WHERE grants.role IS NOT NULL) AS top_height,
            max(trashed_at) IS NOT NULL AS is_in_trash
        FROM ancestors LEFT JOIN grants ON grants.node_id = ancestors.id AND grants.grantee_id = :actor_id
        GROUP BY start
    )"""
"""The role of the actor on each start of `ancestors` (NULL: none), the height of the topmost node granted to it, and
whether the node or a folder above it is in the trash. Needs the columns `owner_id` and `trashed_at`."""


# Required roles

_REQUIRE_ROLE = text(f"""
    WITH RECURSIVE {ancestors_cte(_MANY, "owner_id", "trashed_at")}, {_ROLES}
    SELECT nodes.id, nodes.owner_id, kind, role FROM roles JOIN nodes ON nodes.id = start
    WHERE role IS NOT NULL AND NOT is_in_trash
""")


async def require_role(tx: Tx, actor_id: uuid.UUID, node_id: uuid.UUID, role: Role = "viewer") -> Access:
    """Return the actor's access to a live node, with at least `role`.

    Raises NotFound (the node is missing, it or a folder above is in the trash, or the actor has no role), Forbidden (a
    lower role than `role`).
    """
    granted = (await require_each(tx, actor_id, [node_id], role))[node_id]
    if isinstance(granted, problems.Problem):
        raise granted
    return granted


async def require_each(
    tx: Tx, actor_id: uuid.UUID, node_ids: Collection[uuid.UUID], role: Role = "viewer"
) -> dict[uuid.UUID, Access | problems.NotFound | problems.Forbidden]:
    """Return, for each of the nodes, what `require_role` returns or raises; one statement for all of them."""
    rows = await tx.execute(_REQUIRE_ROLE, {"actor_id": actor_id, "ids": list(node_ids)})
    granted = {row.id: Access(row.id, row.owner_id, row.kind, row.role) for row in rows}
    return {node_id: _judge(granted.get(node_id), role) for node_id in node_ids}


def _judge(granted: Access | None, role: Role) -> Access | problems.NotFound | problems.Forbidden:
    if granted is None:
        return problems.NotFound()
    if _RANK[granted.role] < _RANK[role]:
        return problems.Forbidden(role=granted.role, needs=role)
    return granted


async def is_editor(tx: Tx, actor_id: uuid.UUID, node_id: uuid.UUID) -> bool:
    """Tell whether the actor is editor or owner of a live node."""
    try:
        await require_role(tx, actor_id, node_id, "editor")
    except (problems.NotFound, problems.Forbidden):
        return False
    return True


_HAS_EDITOR_GRANT = text("SELECT EXISTS (SELECT FROM grants WHERE grantee_id = :actor_id AND role = 'editor')")


async def has_editor_grant(tx: Tx, actor_id: uuid.UUID) -> bool:
    """Tell whether the actor is an editor of any node of another account."""
    return bool((await tx.execute(_HAS_EDITOR_GRANT, {"actor_id": actor_id})).scalar_one())


_REQUIRE_TRASHED = text("""
    SELECT id, owner_id, kind FROM nodes
    WHERE id = :node_id AND owner_id = :actor_id AND trashed_at IS NOT NULL AND purged_at IS NULL
""")


async def require_trashed(tx: Tx, actor_id: uuid.UUID, node_id: uuid.UUID) -> Access:
    """Return the owner's access to a node that was deleted itself, not only a folder above it.

    Only the owner deletes for good.
    Raises NotFound (the node is missing, live or purged, or the actor is not its owner).
    """
    row = (await tx.execute(_REQUIRE_TRASHED, {"actor_id": actor_id, "node_id": node_id})).one_or_none()
    if row is None:
        raise problems.NotFound
    return Access(row.id, row.owner_id, row.kind, "owner")


_FIND_TRASHED = text("""
    SELECT id, owner_id, parent_id, kind FROM nodes
    WHERE id = :node_id AND (owner_id = :actor_id OR trashed_by = :actor_id)
        AND trashed_at IS NOT NULL AND purged_at IS NULL
""")


async def require_restorable(tx: Tx, actor_id: uuid.UUID, node_id: uuid.UUID) -> Access:
    """Return the actor's access to a node that was deleted itself and that the actor may restore.

    The owner restores every node, an editor one that this editor deleted, while still editor of its live folder.
    Raises NotFound.
    """
    row = (await tx.execute(_FIND_TRASHED, {"actor_id": actor_id, "node_id": node_id})).one_or_none()
    if row is None or not (row.owner_id == actor_id or await is_editor(tx, actor_id, row.parent_id)):
        raise problems.NotFound
    return Access(row.id, row.owner_id, row.kind, "owner" if row.owner_id == actor_id else "editor")


# Files by identity


@dataclass(frozen=True, slots=True)
class EditableFile:
    """A file whose content an account may replace; it is live, or was deleted itself from a live folder."""

    node_id: uuid.UUID
    owner_id: uuid.UUID
    parent_id: uuid.UUID
    name: str


_EDITABLE_FILES = text(f"""
    WITH RECURSIVE {ancestors_cte(_MANY, "owner_id", "trashed_at")}, {_ROLES}, above AS (
        SELECT start, bool_or(grants.role = 'editor') AS is_editor, bool_or(trashed_at IS NOT NULL) AS is_in_trash
        FROM ancestors LEFT JOIN grants ON grants.node_id = ancestors.id AND grants.grantee_id = :actor_id
        WHERE height > 0 GROUP BY start
    )
    SELECT nodes.id, nodes.owner_id, kind, parent_id, name, role, roles.is_in_trash,
        coalesce(above.is_in_trash, false) AS is_folder_in_trash,
        role = 'owner' OR coalesce(above.is_editor, false) AS may_edit_folder
    FROM roles LEFT JOIN above USING (start) JOIN nodes ON nodes.id = start
    WHERE role IS NOT NULL AND purged_at IS NULL
""")


async def find_editable_files(
    tx: Tx, actor_id: uuid.UUID, node_ids: Collection[uuid.UUID]
) -> dict[uuid.UUID, EditableFile | problems.Problem]:
    """Return, for each of the nodes, the file whose content the actor may replace, or the problem.

    A live file needs the role editor on the file alone. One in the trash exists only for editors of its folder: new
    content would bring it back into that folder.
    Returns NotFound, Forbidden, NotAFile or ParentGone (a folder above is in the trash or deleted) instead of a file.
    """
    if not node_ids:
        return {}
    rows = [
        _FileRow._make(row) for row in await tx.execute(_EDITABLE_FILES, {"actor_id": actor_id, "ids": list(node_ids)})
    ]
    found = {row.id: _judge_file(row) for row in rows}
    return {node_id: found.get(node_id, problems.NotFound()) for node_id in node_ids}


async def require_editable_file(tx: Tx, actor_id: uuid.UUID, node_id: uuid.UUID) -> EditableFile:
    """Return what `find_editable_files` does of one node. Raises NotFound, Forbidden, NotAFile, ParentGone."""
    file = (await find_editable_files(tx, actor_id, [node_id]))[node_id]
    if isinstance(file, problems.Problem):
        raise file
    return file


class _FileRow(NamedTuple):
    id: uuid.UUID
    owner_id: uuid.UUID
    kind: str
    parent_id: uuid.UUID
    name: str
    role: Role
    is_in_trash: bool
    is_folder_in_trash: bool
    may_edit_folder: bool


def _judge_file(row: _FileRow) -> EditableFile | problems.Problem:
    if row.is_in_trash and not row.may_edit_folder:
        return problems.NotFound()
    if _RANK[row.role] < _RANK["editor"]:
        return problems.Forbidden(role=row.role, needs="editor")
    if row.kind != "file":
        return problems.NotAFile()
    if row.is_folder_in_trash:
        return problems.ParentGone()
    return EditableFile(row.id, row.owner_id, row.parent_id, row.name)


# Links

_REQUIRE_BELOW_LINK = text(f"""
    WITH RECURSIVE {ancestors_cte(_ONE, "owner_id", "kind", "trashed_at")}
    SELECT id, owner_id, kind FROM ancestors
    WHERE height = 0 AND EXISTS (SELECT FROM ancestors WHERE id = :top_id)
        AND NOT EXISTS (SELECT FROM ancestors WHERE trashed_at IS NOT NULL)
""")


async def require_below_link(tx: Tx, top_id: uuid.UUID, node_id: uuid.UUID) -> Access:
    """Return a viewer's access to a live node that is the top of a share or lies below it.

    Raises NotFound.
    """
    row = (await tx.execute(_REQUIRE_BELOW_LINK, {"top_id": top_id, "node_id": node_id})).one_or_none()
    if row is None:
        raise problems.NotFound
    return Access(row.id, row.owner_id, row.kind, "viewer")


@dataclass(frozen=True, slots=True)
class LinkAccess:
    """A working link: the node that it leads to, and what it permits."""

    link_id: uuid.UUID
    mode: Literal["view", "download", "upload"]
    password_hash: str | None
    """Unless None, the bearer needs the password as well as the token. The caller of this module checks it."""
    expires_at: datetime | None
    top: Access
    """With the role viewer."""
    name: str
    max_file_bytes: int | None
    """Of the largest file that an upload link takes; None: any."""
    created_by: uuid.UUID
    """The owner of the node; of an upload token, the owner or an editor."""
    is_upload_token: bool


IS_OPEN_LINK = """revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
            AND (max_downloads IS NULL OR downloads < max_downloads)"""
"""The condition that a link is neither revoked, expired nor used up."""
IS_SHOWN_LINK = f"NOT {UPLOAD_TOKEN} AND {IS_OPEN_LINK}"
"""The same of a link that is no upload token: lists of links show it."""
_IS_ACTIVE_USER = "users.disabled_at IS NULL AND users.purge_at IS NULL"
"""The condition that the account of a link's creator is neither disabled nor being deleted."""
_HAS_LIVING_MAKER = f"""NOT EXISTS (
            SELECT FROM users WHERE users.id IN (links.owner_id, links.created_by) AND NOT ({_IS_ACTIVE_USER})
        ) AND (NOT {UPLOAD_TOKEN} OR {actors.IS_MAKER_UNENDED})"""
"""The condition that the accounts of a link are active, and that nothing has ended with which an upload token ends."""
_IS_GRANTED = """top.owner_id = link.owner_id AND NOT EXISTS (
            SELECT FROM ancestors WHERE start = top.start AND trashed_at IS NOT NULL
        ) AND (link.created_by = link.owner_id OR link.is_upload_token AND EXISTS (
            SELECT FROM ancestors JOIN grants ON grants.node_id = ancestors.id
            WHERE start = top.start AND grantee_id = link.created_by AND role = 'editor'
        ))"""
"""The condition that a link's node is live, and that its maker owns it or, of an upload token, is an editor of it."""

_REQUIRE_LINK = text(f"""
    WITH RECURSIVE link AS (
        SELECT links.*, {UPLOAD_TOKEN} AS is_upload_token FROM links
        WHERE id = :link_id AND {IS_OPEN_LINK} AND {_HAS_LIVING_MAKER}
    ), {ancestors_cte("nodes WHERE nodes.id = (SELECT node_id FROM link)", "owner_id", "kind", "name", "trashed_at")}
    SELECT link.id, mode, password_hash, expires_at, max_file_bytes, node_id, top.owner_id, kind, name, created_by,
        is_upload_token
    FROM link JOIN ancestors top ON top.id = node_id AND height = 0 WHERE {_IS_GRANTED}
""")


async def require_link(tx: Tx, link_id: uuid.UUID) -> LinkAccess:
    """Return a working link, or an upload token.

    Raises NotFound, the same for a link that is missing, revoked, expired or used up, whose node is in the trash, or
    whose creator is disabled, is being deleted or no longer owns the node. Of an upload token, also when the sign-in or
    personal token that made it has ended, the owner is disabled, or its maker is no editor of the folder any more.
    """
    row = (await tx.execute(_REQUIRE_LINK, {"link_id": link_id})).one_or_none()
    if row is None:
        raise problems.NotFound
    top = Access(row.node_id, row.owner_id, row.kind, "viewer")
    return LinkAccess(
        row.id,
        row.mode,
        row.password_hash,
        row.expires_at,
        top,
        row.name,
        row.max_file_bytes,
        row.created_by,
        row.is_upload_token,
    )


_RECEIVING_LINKS = text(f"""
    WITH RECURSIVE link AS (
        SELECT id, owner_id, node_id, created_by, {UPLOAD_TOKEN} AS is_upload_token FROM links
        WHERE id = ANY(CAST(:ids AS uuid[])) AND mode = 'upload' AND revoked_at IS NULL AND {_HAS_LIVING_MAKER}
    ), {ancestors_cte("nodes WHERE nodes.id IN (SELECT node_id FROM link)", "owner_id", "trashed_at")}
    SELECT link.id, node_id FROM link JOIN ancestors top ON top.id = node_id AND height = 0 WHERE {_IS_GRANTED}
""")


async def find_receiving_links(tx: Tx, link_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, uuid.UUID]:
    """Return the folder of each of these upload links and tokens that still takes what its bearers have begun to send.

    As `require_link`, but an expired link counts: only new uploads need one that has not expired.
    """
    rows = await tx.execute(_RECEIVING_LINKS, {"ids": list(link_ids)})
    return {row.id: row.node_id for row in rows}


_DEPTH = text(f"WITH RECURSIVE {ancestors_cte(_ONE)} SELECT max(height) FROM ancestors")


async def measure_depth(tx: Tx, node_id: uuid.UUID) -> int:
    """Return how many folders are above a node."""
    return int((await tx.execute(_DEPTH, {"node_id": node_id})).scalar_one())


_MAY_FINISH_LINK = text(f"""
    WITH RECURSIVE {ancestors_cte(_ONE)}
    SELECT EXISTS (
        SELECT FROM links JOIN users ON users.id = links.created_by JOIN ancestors ON ancestors.id = links.node_id
        WHERE links.id = :link_id AND revoked_at IS NULL AND {_IS_ACTIVE_USER}
    )
""")


async def may_finish_link(tx: Tx, link_id: uuid.UUID, node_id: uuid.UUID) -> bool:
    """Tell whether a download that a link began may go on to a node: it is below the link, which is not revoked.

    The download itself may have used the link up, which may also expire, and nodes may go to the trash meanwhile.
    """
    return bool((await tx.execute(_MAY_FINISH_LINK, {"link_id": link_id, "node_id": node_id})).scalar_one())


# Many nodes

_VISIBLE = text(f"""
    WITH RECURSIVE {ancestors_cte(_MANY, "owner_id", "name", "trashed_at")}, {_ROLES}
    SELECT start, role, top_height, is_in_trash,
        string_agg('/' || name, '' ORDER BY height DESC)
            FILTER (WHERE parent_id IS NOT NULL AND (role = 'owner' OR height <= top_height)) AS path,
        CASE WHEN role = 'owner' THEN EXISTS (SELECT FROM grants WHERE node_id = start) END AS shared,
        CASE WHEN role = 'owner' THEN EXISTS (
            SELECT FROM links WHERE node_id = start AND created_by = :actor_id AND {IS_SHOWN_LINK}
        ) END AS has_link
    FROM roles JOIN ancestors USING (start) WHERE role IS NOT NULL GROUP BY start, role, top_height, is_in_trash
""")


class Visibility(NamedTuple):
    """How an account sees a node."""

    path: str
    """Begins at the owner's root, or for other accounts at the topmost node that is shared with them."""
    role: Role
    is_top: bool
    """The account may see nothing above the node, although a folder may be there."""
    is_in_trash: bool
    """The node or a folder above it is in the trash."""
    shared: bool | None
    """Whether a grant is on the node itself; None except for its owner, as `has_link`."""
    has_link: bool | None
    """Whether a link that works leads to the node itself."""


async def find_visible(tx: Tx, actor_id: uuid.UUID, node_ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, Visibility]:
    """Return how the actor sees each of the nodes, in the trash or not; nodes without access are left out."""
    rows = await tx.execute(_VISIBLE, {"ids": list(node_ids), "actor_id": actor_id})
    return {
        row.start: Visibility(
            row.path or "/",
            row.role,
            is_top=row.role != "owner" and row.top_height == 0,
            is_in_trash=row.is_in_trash,
            shared=row.shared,
            has_link=row.has_link,
        )
        for row in rows
    }


NodeState = Literal["live", "trashed", "deleted", "unknown"]


class KnownNode(NamedTuple):
    """What an account may learn about an id."""

    state: NodeState
    """`trashed` includes nodes below a trashed folder, `deleted` nodes whose rows are removed."""
    epoch: str
    version: int | None
    """None unless the node is live or trashed; with `epoch`, that of the data, it is the ETag."""


_UNKNOWN = KnownNode("unknown", "", None)
_STATES = text(f"""
    WITH RECURSIVE {ancestors_cte(_MANY, "owner_id", "trashed_at", "purged_at")}, {_ROLES}, found AS (
        SELECT start, role, CASE
            WHEN NOT is_in_trash THEN 'live'
            WHEN start IN (SELECT start FROM ancestors WHERE purged_at IS NOT NULL) THEN 'deleted'
            ELSE 'trashed' END AS state
        FROM roles WHERE role IS NOT NULL
    )
    SELECT nodes.id, state, (SELECT current_data_epoch()) AS epoch,
        CASE WHEN state <> 'deleted' THEN version END AS version
    FROM found JOIN nodes ON nodes.id = start WHERE role = 'owner' OR state = 'live'
    UNION ALL
    SELECT node_id, 'deleted', '', NULL FROM tombstones
    WHERE owner_id = :actor_id AND node_id = ANY(CAST(:ids AS uuid[]))
""")


async def find_states(tx: Tx, actor_id: uuid.UUID, node_ids: Sequence[uuid.UUID]) -> list[KnownNode]:
    """Return the state of each id, in order; only the owner of a node learns that it is not live."""
    rows = await tx.execute(_STATES, {"ids": list(set(node_ids)), "actor_id": actor_id})
    found = {row.id: KnownNode(row.state, row.epoch, row.version) for row in rows}
    return [found.get(node_id, _UNKNOWN) for node_id in node_ids]


_FOLDERS = f"{_MANY} AND nodes.kind = 'folder' AND nodes.owner_id = :owner_id"
_OPEN_FOLDERS = text(f"""
    WITH RECURSIVE {ancestors_cte(_FOLDERS, "owner_id", "trashed_at")}, {_ROLES}
    SELECT start FROM roles WHERE role IN ('editor', 'owner') AND NOT is_in_trash
""")


async def find_open_folders(
    tx: Tx, actor_id: uuid.UUID, owner_id: uuid.UUID, node_ids: Iterable[uuid.UUID]
) -> set[uuid.UUID]:
    """Return those of the nodes that are live folders of this owner into which the actor may put files."""
    bound = {"ids": list(node_ids), "owner_id": owner_id, "actor_id": actor_id}
    return set((await tx.execute(_OPEN_FOLDERS, bound)).scalars())


_IN_TRASH = text(f"""
    WITH RECURSIVE {ancestors_cte(_MANY, "trashed_at")}
    SELECT DISTINCT start FROM ancestors WHERE trashed_at IS NOT NULL
""")


async def find_trashed(tx: Tx, node_ids: Iterable[uuid.UUID]) -> set[uuid.UUID]:
    """Return those of the nodes that are in the trash, by themselves or with a folder above."""
    return set((await tx.execute(_IN_TRASH, {"ids": list(node_ids)})).scalars())


_ABOVE = text("""
    WITH RECURSIVE above AS (
        SELECT id, parent_id, trashed_at IS NOT NULL AS is_trashed FROM nodes WHERE id = ANY(CAST(:ids AS uuid[]))
        UNION
        SELECT up.id, up.parent_id, up.trashed_at IS NOT NULL FROM above, LATERAL (
            SELECT id, parent_id, trashed_at FROM nodes WHERE id = above.parent_id OFFSET 0
        ) up WHERE above.id <> :root_id
    )
    SELECT array_agg(id) AS ids, array_agg(parent_id) AS parent_ids, array_agg(is_trashed) AS are_trashed FROM above
""")
"""Each folder once, however many paths lead through it. OFFSET makes Postgres look each one up by index."""


async def find_live_folders(tx: Tx, root_id: uuid.UUID, folder_ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
    """Return those of the folders that are a live folder, `root_id`, or live below it."""
    if not folder_ids:
        return set()
    above = (await tx.execute(_ABOVE, {"ids": list(folder_ids), "root_id": root_id})).one()
    parents = {
        node_id: None if is_trashed else parent_id
        for node_id, parent_id, is_trashed in zip(above.ids, above.parent_ids, above.are_trashed, strict=True)
    }
    is_live: dict[uuid.UUID | None, bool] = {None: False, root_id: True}
    for folder_id in folder_ids:
        path: list[uuid.UUID] = []
        node_id: uuid.UUID | None = folder_id
        while node_id is not None and node_id not in is_live:
            path.append(node_id)
            node_id = parents[node_id]
        is_live |= dict.fromkeys(path, is_live[node_id])
    return {folder_id for folder_id in folder_ids if is_live[folder_id]}


_SHARED_WITH = text(f"""
    WITH RECURSIVE folders AS (
        SELECT node_id AS id FROM grants WHERE grantee_id = :actor_id
        UNION
        SELECT child.id FROM folders, {children_of("folders", where="kind = 'folder' AND trashed_at IS NULL")}
    )
    SELECT id FROM folders
""")


async def build_visible_condition(tx: Tx, actor_id: uuid.UUID) -> ColumnElement[bool]:
    """Return the condition that the actor owns a node or that it is shared with the actor, in the trash or not."""
    shared = (await tx.execute(_SHARED_WITH, {"actor_id": actor_id})).scalars().all()
    if not shared:
        return Node.owner_id == actor_id
    ids = literal(shared, ARRAY(Id))
    return or_(Node.owner_id == actor_id, Node.parent_id == any_(ids), Node.id == any_(ids))


# A tree in memory

_OWNERS = text(f"""
    WITH RECURSIVE {ancestors_cte(_MANY, "owner_id", "trashed_at")}, {_ROLES}
    SELECT nodes.id, nodes.owner_id FROM roles JOIN nodes ON nodes.id = start WHERE role IS NOT NULL
""")


async def find_owners(tx: Tx, actor_id: uuid.UUID, node_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, uuid.UUID]:
    """Return the owner of each of the nodes on which the actor has a role, in the trash or not."""
    rows = await tx.execute(_OWNERS, {"actor_id": actor_id, "ids": list(node_ids)})
    return {row.id: row.owner_id for row in rows}


@dataclass(slots=True)
class TreeNode:
    """A node as the permission of an account depends on it."""

    owner_id: uuid.UUID
    parent_id: uuid.UUID | None
    kind: Literal["file", "folder"]
    is_trashed: bool
    """The node itself, not only a folder above it."""
    is_purged: bool
    trashed_by: uuid.UUID | None = None


_KNOWN = text(f"""
    WITH RECURSIVE {ancestors_cte(_MANY)}
    SELECT id, owner_id, parent_id, kind, trashed_at IS NOT NULL AS is_trashed, purged_at IS NOT NULL AS is_purged,
        trashed_by
    FROM nodes WHERE id IN (SELECT id FROM ancestors)
""")
_GRANTS = text("""
    SELECT node_id, grantee_id, role FROM grants
    WHERE node_id = ANY(CAST(:ids AS uuid[])) AND grantee_id IS NOT NULL
""")


@dataclass(slots=True)
class KnownTree:
    """Nodes with all folders above them, and the grants on these: the rules of this module for changes in memory.

    A transaction that holds the owner's lock changes `nodes` before it writes its changes in bulk.
    """

    nodes: dict[uuid.UUID, TreeNode] = field(default_factory=dict)
    _grants: dict[uuid.UUID, dict[uuid.UUID, Role]] = field(default_factory=dict)
    """By node and grantee."""

    async def load(self, tx: Tx, node_ids: Collection[uuid.UUID]) -> None:
        """Read nodes, all folders above them, and their grants; nodes that are known stay as they are."""
        rows = (await tx.execute(_KNOWN, {"ids": list(node_ids)})).all()
        new = {row.id: TreeNode(*row[1:]) for row in rows if row.id not in self.nodes}
        self.nodes |= new
        for node_id, grantee_id, role in await tx.execute(_GRANTS, {"ids": list(new)}):
            self._grants.setdefault(node_id, {})[grantee_id] = role

    def climb(self, node_id: uuid.UUID) -> Iterator[uuid.UUID]:
        """Yield a known node and the folders above it."""
        above: uuid.UUID | None = node_id
        while above is not None:
            yield above
            above = self.nodes[above].parent_id

    def require_role(self, actor_id: uuid.UUID, node_id: uuid.UUID, role: Role) -> Access:
        """Return what the function `require_role` returns. Raises NotFound, Forbidden."""
        granted = None
        if node_id in self.nodes and not any(self.nodes[above].is_trashed for above in self.climb(node_id)):
            node, own_role = self.nodes[node_id], self._find_role(actor_id, node_id)
            granted = own_role and Access(node_id, node.owner_id, node.kind, own_role)
        judged = _judge(granted, role)
        if isinstance(judged, problems.Problem):
            raise judged
        return judged

    def is_editor(self, actor_id: uuid.UUID, node_id: uuid.UUID) -> bool:
        """Tell what the function `is_editor` tells."""
        try:
            self.require_role(actor_id, node_id, "editor")
        except (problems.NotFound, problems.Forbidden):
            return False
        return True

    def require_restorable(self, actor_id: uuid.UUID, node_id: uuid.UUID) -> None:
        """Require what the function `require_restorable` requires. Raises NotFound."""
        node = self.nodes.get(node_id)
        if node is None or not node.is_trashed or node.is_purged:
            raise problems.NotFound
        is_own = node.owner_id == actor_id
        if not is_own and not (
            node.trashed_by == actor_id and node.parent_id is not None and self.is_editor(actor_id, node.parent_id)
        ):
            raise problems.NotFound

    def list_grantees(self, node_id: uuid.UUID) -> frozenset[uuid.UUID]:
        """Return the grantees of a node and of the folders above it."""
        return frozenset(grantee_id for above in self.climb(node_id) for grantee_id in self._grants.get(above, ()))

    def _find_role(self, actor_id: uuid.UUID, node_id: uuid.UUID) -> Role | None:
        if self.nodes[node_id].owner_id == actor_id:
            return "owner"
        granted = [self._grants.get(above, {}).get(actor_id) for above in self.climb(node_id)]
        return max((role for role in granted if role), key=_RANK.__getitem__, default=None)
