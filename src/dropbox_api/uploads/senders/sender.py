"""The sender of a link: the check of the secret, and a session as its sender sees it."""

import hashlib
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select

from dropbox_api import problems
from dropbox_api.context import Services
from dropbox_api.db import Tx
from dropbox_api.models import Upload, UploadDestination
from dropbox_api.uploads import link_sessions, queries, schemas, sessions
from dropbox_api.uploads.sessions import UploadSession

_SECRET = re.compile(r"[A-Za-z0-9_-]{43,128}", re.ASCII)
"""256 random bits as hex digits or as base64url, for example."""


@dataclass(frozen=True, slots=True)
class Sender:
    """The bearer of a link who made a secret."""

    link_id: uuid.UUID
    secret_hash: bytes
    password_hash: str | None = None
    """Of the password that opened the link, for a start. Later requests need none."""


@dataclass(frozen=True, slots=True)
class SenderContext(Services):
    """Services, and the sender on whose behalf an operation runs."""

    sender: Sender


def hash_secret(secret: str | None) -> bytes:
    """Return the hash by which sessions know a secret. Raises NotFound for a text that no sender's secret is."""
    if secret is None or not _SECRET.fullmatch(secret):
        raise problems.NotFound
    return hashlib.sha256(secret.encode()).digest()


async def require_session(context: SenderContext, upload_id: uuid.UUID) -> UploadSession:
    """Return a session of the sender.

    Raises NotFound: the same for an unknown session, one of another sender or under another link, and for a link that
    takes nothing any more; its sessions end.
    """
    own = sessions.select_sessions(
        Upload.id == upload_id,
        Upload.link_id == context.sender.link_id,
        Upload.link_secret_hash == context.sender.secret_hash,
    )
    async with context.db.read() as tx:
        row = (await tx.execute(own)).one_or_none()
        session = UploadSession(*row) if row else None
        closed = await link_sessions.find_closed(tx, [session]) if session else set()
    if session is None:
        raise problems.NotFound
    if closed:
        if session.is_live:
            await link_sessions.end_closed(context, session.owner_id)
        raise problems.NotFound
    return session


async def load_link_views(tx: Tx, upload_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, schemas.LinkUpload]:
    """Return sessions under links as their senders see them, by id. Checks no permission."""
    by_id = await queries.load_views(tx, upload_ids)
    columns = (Upload.id, Upload.client_ref, UploadDestination.name, UploadDestination.folder_path)
    named = select(*columns).join(UploadDestination, UploadDestination.upload_id == Upload.id)
    rows = (await tx.execute(named.where(Upload.id.in_(by_id)))).all() if by_id else ()
    return {row.id: _view(by_id[row.id], row.client_ref, row.name, row.folder_path) for row in rows}


def _view(upload: schemas.Upload, client_ref: str, name: str, folder_path: str | None) -> schemas.LinkUpload:
    members = upload.model_dump(include=set(schemas.UploadProgress.model_fields))
    if upload.state == "completed" and all(place.problem for place in upload.destinations):
        members |= {"state": "failed", "failure": "the folder takes no more files"}
    return schemas.LinkUpload(client_ref=client_ref, name=name, folder_path=folder_path, **members)


async def get_upload(context: SenderContext, upload_id: uuid.UUID) -> schemas.LinkUpload:
    """Return a session of the sender. Raises NotFound."""
    await require_session(context, upload_id)
    async with context.db.read() as tx:
        return (await load_link_views(tx, [upload_id]))[upload_id]
