"""How nodes are read: rows joined with their head revision, and the paths above them."""

import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Select, bindparam, select, text

from dropbox_api.db import Tx
from dropbox_api.files.schemas import File, Processing
from dropbox_api.models import Blob, Node, Revision, User

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
            path=f"{above[row.parent_id]}/{row.name}" if row.parent_id else "/",
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
