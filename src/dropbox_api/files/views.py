"""How nodes are read: rows with their head revision and path, and what is live or below a folder."""

import uuid
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ARRAY, ColumnElement, Select, any_, bindparam, literal, or_, select, text

from dropbox_api import access, problems
from dropbox_api.db import Tx
from dropbox_api.files.schemas import File, Processing
from dropbox_api.models import Blob, Id, Node, Revision, User

_SEEN = text("""
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


class Seen(NamedTuple):
    """How somebody sees a node."""

    path: str
    """From where their access begins: the owner's root, or the node that was shared with them."""
    role: access.Role
    is_top: bool
    """Nothing above it is theirs to see."""


async def seen_by(tx: Tx, actor_id: uuid.UUID, node_ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, Seen]:
    """Return how the actor sees each of these nodes; those that are not theirs to see are left out."""
    rows = await tx.execute(_SEEN, {"ids": list(node_ids), "actor_id": actor_id})
    return {
        row.start: Seen(
            row.path or "/",
            "owner" if row.is_owner else "editor" if row.is_editor else "viewer",
            not row.is_owner and row.top == 0,
        )
        for row in rows
    }


PROCESSING = (Revision.processing_state, Revision.processing_detail, Revision.processing_at)


def processing(row: Any) -> Processing | None:
    """Return what was reported about a revision, from a row with the columns PROCESSING."""
    if row.processing_state is None:
        return None
    return Processing(state=row.processing_state, detail=row.processing_detail, updated_at=row.processing_at)


def select_files() -> Select[*tuple[Any, ...]]:
    """Select nodes with what `as_files` needs of their head revision and content."""
    return (
        select(
            Node.id,
            Node.kind,
            Node.name,
            Node.name_key,
            Node.parent_id,
            Node.owner_id,
            Node.version,
            Node.created_at,
            Node.modified_at,
            Node.trashed_at,
            User.email,
            Revision.id.label("revision_id"),
            Revision.size_bytes,
            Revision.content_type,
            Revision.client_modified_at,
            *PROCESSING,
            Blob.fingerprint,
            Blob.true_fingerprint,
            Blob.content_status,
        )
        .join(User, User.id == Node.owner_id)
        .outerjoin(Revision, Revision.id == Node.head_revision_id)
        .outerjoin(Blob, Blob.id == Revision.blob_id)
    )


async def as_files(tx: Tx, actor_id: uuid.UUID, rows: Sequence[Any]) -> list[File]:
    """Turn rows of `select_files` into files as the actor sees them, in their order; others' are left out."""
    seen = await seen_by(tx, actor_id, (row.id for row in rows))
    return [
        File(
            id=row.id,
            kind=row.kind,
            name=row.name,
            parent_id=None if seen[row.id].is_top else row.parent_id,
            path=seen[row.id].path,
            size_bytes=row.size_bytes,
            fingerprint=row.fingerprint.hex() if row.fingerprint else None,
            content_type=row.content_type,
            revision_id=row.revision_id,
            content_status=row.content_status,
            true_fingerprint=row.true_fingerprint.hex() if row.true_fingerprint and row.owner_id == actor_id else None,
            processing=processing(row),
            created_at=row.created_at,
            modified_at=row.modified_at,
            client_modified_at=row.client_modified_at,
            trashed_at=row.trashed_at,
            owner=row.email,
            role=seen[row.id].role,
            etag=f'"{row.version}"',
        )
        for row in rows
        if row.id in seen
    ]


_BY_ID = select_files().where(Node.id.in_(bindparam("ids", expanding=True)))


async def files_by_id(tx: Tx, actor_id: uuid.UUID, node_ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, File]:
    """Return these files and folders as the actor sees them; those that are not theirs to see are left out.

    What is in the trash is not: who must not see that asks `access` before.
    """
    rows = (await tx.execute(_BY_ID, {"ids": list(node_ids)})).all()
    return {file.id: file for file in await as_files(tx, actor_id, rows)}


async def file_by_id(tx: Tx, actor_id: uuid.UUID, node_id: uuid.UUID) -> File:
    """Return one file or folder that the actor may see. Raises NotFound when it is gone since permission was asked."""
    file = (await files_by_id(tx, actor_id, [node_id])).get(node_id)
    if file is None:
        raise problems.NotFound
    return file


_FOLDERS_BELOW = text("""
    WITH RECURSIVE folders AS (
        SELECT CAST(:folder_id AS uuid) AS id
        UNION ALL
        SELECT child.id FROM folders JOIN nodes child ON child.parent_id = folders.id
        WHERE child.kind = 'folder' AND child.trashed_at IS NULL
    )
    SELECT id FROM folders
""")


async def below(tx: Tx, folder_id: uuid.UUID) -> ColumnElement[bool]:
    """Return the condition that a node lies somewhere below a live folder; below the root folder is everything.

    The folders are bound as an array, not joined: Postgres can plan with their number then.
    """
    above = select(Node.parent_id).where(Node.id == folder_id)
    if (await tx.execute(above)).scalar_one() is None:
        return Node.parent_id.is_not(None)
    folder_ids = (await tx.execute(_FOLDERS_BELOW, {"folder_id": folder_id})).scalars().all()
    return Node.parent_id == any_(literal(folder_ids, ARRAY(Id)))


_SHARED_WITH = text("""
    WITH RECURSIVE folders AS (
        SELECT node_id AS id FROM grants WHERE grantee_id = :actor_id
        UNION
        SELECT child.id FROM folders JOIN nodes child ON child.parent_id = folders.id
        WHERE child.kind = 'folder' AND child.trashed_at IS NULL
    )
    SELECT id FROM folders
""")


async def visible(tx: Tx, actor_id: uuid.UUID) -> ColumnElement[bool]:
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


async def in_trash(tx: Tx, node_ids: Iterable[uuid.UUID]) -> set[uuid.UUID]:
    """Return which of these nodes are in the trash, by themselves or with a folder above."""
    return set((await tx.execute(_IN_TRASH, {"ids": list(node_ids)})).scalars())


async def first_live(tx: Tx, candidates: Select[*tuple[Any, ...]], wanted: int) -> list[Any]:
    """Return the first candidates that nothing in the trash lies above, in their order.

    `candidates`: selects nodes that are not in the trash themselves, ordered, with `parent_id` among the columns. Only
    from those that may be answered is it looked upwards; whoever has much in the trash pays for looking on.
    Transaction: joins tx, which sees one moment (`as_of_now`).
    """
    live: list[Any] = []
    passed, at_once = 0, wanted
    while True:
        rows = (await tx.execute(candidates.offset(passed).limit(at_once))).all()
        trashed = await in_trash(tx, {row.parent_id for row in rows})
        live += [row for row in rows if row.parent_id not in trashed]
        if len(live) >= wanted or len(rows) < at_once:
            return live[:wanted]
        passed, at_once = passed + at_once, 4 * at_once


_ONE_MOMENT = text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")


async def as_of_now(tx: Tx) -> None:
    """Let all queries of a transaction see one moment. To be called before its first query."""
    await tx.execute(_ONE_MOMENT)
