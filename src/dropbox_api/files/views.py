"""How nodes are read: rows with their head revision and path, and what is live or below a folder."""

import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, Select, any_, bindparam, literal, select, text

from dropbox_api import problems
from dropbox_api.db import Tx
from dropbox_api.files.schemas import File, Processing
from dropbox_api.models import Blob, Id, Node, Revision, User

_PATHS = text("""
    WITH RECURSIVE up AS (
        SELECT id AS start, parent_id, name, 0 AS height FROM nodes WHERE id = ANY(CAST(:ids AS uuid[]))
        UNION ALL
        SELECT up.start, above.parent_id, above.name, height + 1 FROM up JOIN nodes above ON above.id = up.parent_id
    )
    SELECT start, string_agg('/' || name, '' ORDER BY height DESC) FILTER (WHERE parent_id IS NOT NULL) AS path
    FROM up GROUP BY start
""")


async def paths(tx: Tx, node_ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, str]:
    """Return the path of each node, "" for a root folder."""
    rows = await tx.execute(_PATHS, {"ids": list(node_ids)})
    return {row.start: row.path or "" for row in rows}


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


async def as_files(tx: Tx, rows: Sequence[Any]) -> list[File]:
    """Turn rows of `select_files` into files, in their order."""
    above = await paths(tx, {row.parent_id for row in rows if row.parent_id})
    return [
        File(
            id=row.id,
            kind=row.kind,
            name=row.name,
            parent_id=row.parent_id,
            path=f"{above.get(row.parent_id, '')}/{row.name}" if row.parent_id else "/",
            size_bytes=row.size_bytes,
            fingerprint=row.fingerprint.hex() if row.fingerprint else None,
            content_type=row.content_type,
            revision_id=row.revision_id,
            content_status=row.content_status,
            true_fingerprint=row.true_fingerprint.hex() if row.true_fingerprint else None,
            processing=processing(row),
            created_at=row.created_at,
            modified_at=row.modified_at,
            client_modified_at=row.client_modified_at,
            trashed_at=row.trashed_at,
            owner=row.email,
            role="owner",
            etag=f'"{row.version}"',
        )
        for row in rows
    ]


_BY_ID = select_files().where(Node.id.in_(bindparam("ids", expanding=True)))


async def files_by_id(tx: Tx, node_ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, File]:
    """Return the files and folders of these ids; ids of nothing are left out. Asks nobody for permission."""
    rows = (await tx.execute(_BY_ID, {"ids": list(node_ids)})).all()
    return {file.id: file for file in await as_files(tx, rows)}


async def file_by_id(tx: Tx, node_id: uuid.UUID) -> File:
    """Return one file or folder. Raises NotFound when it has been removed since permission was asked."""
    file = (await files_by_id(tx, [node_id])).get(node_id)
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


_IN_TRASH = text("""
    WITH RECURSIVE up AS (
        SELECT id AS start, parent_id, trashed_at FROM nodes WHERE id = ANY(CAST(:ids AS uuid[]))
        UNION ALL
        SELECT up.start, above.parent_id, above.trashed_at FROM up JOIN nodes above ON above.id = up.parent_id
    )
    SELECT DISTINCT start FROM up WHERE trashed_at IS NOT NULL
""")


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
        in_trash = set((await tx.execute(_IN_TRASH, {"ids": list({row.parent_id for row in rows})})).scalars())
        live += [row for row in rows if row.parent_id not in in_trash]
        if len(live) >= wanted or len(rows) < at_once:
            return live[:wanted]
        passed, at_once = passed + at_once, 4 * at_once


_ONE_MOMENT = text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")


async def as_of_now(tx: Tx) -> None:
    """Let all queries of a transaction see one moment. To be called before its first query."""
    await tx.execute(_ONE_MOMENT)
