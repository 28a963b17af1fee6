"""Read nodes: with their head revision and path, live ones, and those below a folder."""

import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple, TypeVarTuple

from sqlalchemy import ARRAY, ColumnElement, Row, Select, any_, bindparam, literal, select, text

from dropbox_api import access, problems
from dropbox_api.db import Tx
from dropbox_api.files.etags import format_etag
from dropbox_api.files.schemas import ContentStatus, File, Processing, ProcessingState
from dropbox_api.models import Blob, Id, Node, Revision, User
from dropbox_api.plumbing.epoch import EPOCH

Columns = TypeVarTuple("Columns")


def build_processing(
    state: ProcessingState | None, detail: str | None, updated_at: datetime | None
) -> Processing | None:
    """Return the last report about a revision, from its three columns; None without a report."""
    if state is None or updated_at is None:
        return None
    return Processing(state=state, detail=detail, updated_at=updated_at)


class FileRow(NamedTuple):
    """A node with its head revision and content, as `select_files` selects it. A folder has None for both."""

    id: uuid.UUID
    kind: Literal["file", "folder"]
    name: str
    name_sort: str
    parent_id: uuid.UUID | None
    owner_id: uuid.UUID
    version: int
    epoch: str
    """The epoch of the data: with `version` it is the ETag."""
    executable: bool
    sort_bytes: int
    """Size of the head revision; 0 for a folder."""
    created_at: datetime
    modified_at: datetime
    trashed_at: datetime | None
    email: str
    """Address of the owner."""
    display_name: str | None
    revision_id: uuid.UUID | None
    size_bytes: int | None
    content_type: str | None
    client_modified_at: datetime | None
    processing_state: ProcessingState | None
    processing_detail: str | None
    processing_at: datetime | None
    fingerprint: bytes | None
    true_fingerprint: bytes | None
    content_status: ContentStatus | None


def select_files() -> Select[*tuple[Any, ...]]:
    """Select nodes with the columns of `FileRow`, in their order."""
    return (
        select(
            Node.id,
            Node.kind,
            Node.name,
            Node.name_sort,
            Node.parent_id,
            Node.owner_id,
            Node.version,
            EPOCH.label("epoch"),
            Node.executable,
            Node.size_bytes.label("sort_bytes"),
            Node.created_at,
            Node.modified_at,
            Node.trashed_at,
            User.email,
            User.display_name,
            Revision.id.label("revision_id"),
            Revision.size_bytes,
            Revision.content_type,
            Revision.client_modified_at,
            Revision.processing_state,
            Revision.processing_detail,
            Revision.processing_at,
            Blob.fingerprint,
            Blob.true_fingerprint,
            Blob.content_status,
        )
        .join(User, User.id == Node.owner_id)
        .outerjoin(Revision, Revision.id == Node.head_revision_id)
        .outerjoin(Blob, Blob.id == Revision.blob_id)
    )


async def build_files(tx: Tx, actor_id: uuid.UUID, rows: Sequence[FileRow]) -> list[File]:
    """Turn rows into files as the actor sees them, in the same order, without rows that the actor may not see."""
    seen = await access.find_visible(tx, actor_id, (row.id for row in rows))
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
            processing=build_processing(row.processing_state, row.processing_detail, row.processing_at),
            created_at=row.created_at,
            modified_at=row.modified_at,
            client_modified_at=row.client_modified_at,
            executable=row.executable if row.kind == "file" else None,
            trashed_at=row.trashed_at,
            owner=row.email,
            owner_name=row.display_name,
            role=seen[row.id].role,
            shared=seen[row.id].shared,
            has_link=seen[row.id].has_link,
            etag=format_etag(row.epoch, row.version),
        )
        for row in rows
        if row.id in seen
    ]


_BY_ID = select_files().where(Node.id.in_(bindparam("ids", expanding=True)))


async def find_files(tx: Tx, actor_id: uuid.UUID, node_ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, File]:
    """Return these files and folders as the actor sees them, without those that the actor may not see.

    Nodes in the trash are included; the caller excludes them with `access` where needed.
    """
    rows = [FileRow._make(row) for row in await tx.execute(_BY_ID, {"ids": list(node_ids)})]
    return {file.id: file for file in await build_files(tx, actor_id, rows)}


async def get_file(tx: Tx, actor_id: uuid.UUID, node_id: uuid.UUID) -> File:
    """Return one file or folder that the actor may see. Raises NotFound if it was deleted after the check."""
    file = (await find_files(tx, actor_id, [node_id])).get(node_id)
    if file is None:
        raise problems.NotFound
    return file


_FOLDERS_BELOW = text(f"""
    WITH RECURSIVE folders AS (
        SELECT CAST(:folder_id AS uuid) AS id
        UNION ALL
        SELECT child.id FROM folders, {access.children_of("folders", where="kind = 'folder' AND trashed_at IS NULL")}
    )
    SELECT id FROM folders
""")


async def build_below_condition(tx: Tx, folder_id: uuid.UUID) -> ColumnElement[bool]:
    """Return the condition that a node is at any depth below a live folder; every node is below the root folder.

    The folders are bound as an array instead of joined, so that Postgres plans with their number.
    """
    above = select(Node.parent_id).where(Node.id == folder_id)
    if (await tx.execute(above)).scalar_one() is None:
        return Node.parent_id.is_not(None)
    folder_ids = (await tx.execute(_FOLDERS_BELOW, {"folder_id": folder_id})).scalars().all()
    return Node.parent_id == any_(literal(folder_ids, ARRAY(Id)))


async def read_live(tx: Tx, candidates: Select[*Columns], wanted: int) -> list[Row[*Columns]]:
    """Return the first `wanted` candidates without a trashed folder above them, in their order.

    `candidates` selects nodes that are not trashed themselves, ordered, with `parent_id` among the columns. Each round
    checks the ancestors of one batch, and reads a larger batch when too many candidates are in the trash.
    Transaction: joins tx, which reads one snapshot (`use_snapshot`).
    """
    live: list[Row[*Columns]] = []
    passed, at_once = 0, wanted
    while True:
        rows = (await tx.execute(candidates.offset(passed).limit(at_once))).all()
        trashed = await access.find_trashed(tx, {row.parent_id for row in rows})
        live += [row for row in rows if row.parent_id not in trashed]
        if len(live) >= wanted or len(rows) < at_once:
            return live[:wanted]
        passed, at_once = passed + at_once, 4 * at_once
