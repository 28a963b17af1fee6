"""Names in a folder: which of many are taken, and by what."""

import uuid
from collections.abc import Sequence

from sqlalchemy import ARRAY, Text, any_, literal, select

from dropbox_api import problems
from dropbox_api.context import Context
from dropbox_api.core import names
from dropbox_api.db import Tx
from dropbox_api.files import folders, paths
from dropbox_api.files.etags import format_etag
from dropbox_api.files.schemas import NamedFile, NameResult, NameResultList
from dropbox_api.models import Blob, Node, Revision
from dropbox_api.plumbing.epoch import EPOCH
from dropbox_api.responses import describe_problem


async def find_taken_names(context: Context, folder_id: uuid.UUID, wanted: Sequence[str]) -> NameResultList:
    """Return for each name, in order, the file or folder that has it, and the problem of an invalid one.

    Raises NotFound, NotAFolder.
    """
    keys = [_make_key(name) for name in wanted]
    async with context.db.read() as tx:
        await folders.get_folder(tx, context.actor_id, folder_id)
        taken = await _read_names(tx, folder_id, {key for key in keys if isinstance(key, str)})
    return NameResultList(
        items=[
            NameResult(existing=taken.get(key), problem=None)
            if isinstance(key, str)
            else NameResult(existing=None, problem=describe_problem(key))
            for key in keys
        ]
    )


def _make_key(name: str) -> str | problems.InvalidName:
    try:
        return names.make_key(paths.clean_name(name))
    except problems.InvalidName as invalid:
        return invalid


async def _read_names(tx: Tx, folder_id: uuid.UUID, keys: set[str]) -> dict[str, NamedFile]:
    named = (
        select(
            Node.name_key,
            Node.id,
            Node.kind,
            Node.name,
            Node.version,
            EPOCH.label("epoch"),
            Revision.id.label("revision_id"),
            Revision.size_bytes,
            Blob.fingerprint,
            Blob.content_status,
        )
        .outerjoin(Revision, Revision.id == Node.head_revision_id)
        .outerjoin(Blob, Blob.id == Revision.blob_id)
        .where(
            Node.parent_id == folder_id,
            Node.name_key == any_(literal(list(keys), ARRAY(Text))),
            Node.trashed_at.is_(None),
        )
    )
    return {
        row.name_key: NamedFile(
            id=row.id,
            kind=row.kind,
            name=row.name,
            size_bytes=row.size_bytes,
            fingerprint=row.fingerprint.hex() if row.fingerprint else None,
            content_status=row.content_status,
            revision_id=row.revision_id,
            etag=format_etag(row.epoch, row.version),
        )
        for row in await tx.execute(named)
    }
