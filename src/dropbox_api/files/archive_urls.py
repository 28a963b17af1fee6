"""Archives by a URL: a zip of a folder or a list of nodes that a browser can save, which sends no token of its own.

The URL holds 256 random bits, of which the database keeps only the SHA-256. It may be opened for minutes, any number of
times, and ends with the sign-in or the personal token that made it. Source: docs/adr/0027-tokens-in-urls.md.
"""

import hashlib
import secrets
import uuid
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import func, insert, select

from dropbox_api import access, problems
from dropbox_api.accounts import actors
from dropbox_api.context import Context, Services
from dropbox_api.db import Tx
from dropbox_api.files import archive
from dropbox_api.files.schemas import ArchiveUrl, CreateArchive
from dropbox_api.models import ArchiveToken
from dropbox_api.plumbing import request_source
from dropbox_api.plumbing.transfer_slots import TransferSlots


async def create_archive(context: Context, wanted: CreateArchive) -> ArchiveUrl:
    """Return the URL of a zip of a folder, or of files and folders side by side. The audit trail counts it as fetched.

    Raises NotFound (one of them), NotAFolder. Transaction: one.
    """
    node_ids = list(dict.fromkeys(wanted.ids or ()))
    if wanted.folder_id:
        node_ids = [wanted.folder_id]
    token = secrets.token_urlsafe(32)
    values = {
        "token_hash": _hash_token(token),
        "user_id": context.actor_id,
        "session_id": context.actor.session_id,
        "token_id": context.actor.token_id,
        "node_ids": node_ids,
        "expires_at": func.now() + timedelta(seconds=context.settings.uploads.download_url_ttl_s),
    }
    async with context.db.begin() as tx:
        found = (await access.require_each(tx, context.actor_id, node_ids)).values()
        granted = [one for one in found if isinstance(one, access.Access)]
        if len(granted) < len(node_ids):
            raise problems.NotFound("One of the files or folders does not exist, or you have no access to it")
        if wanted.folder_id and granted[0].kind != "folder":
            raise problems.NotAFolder("This is a file: send its id in ids")
        await archive.record_archives(tx, granted)
        expires_at = (
            await tx.execute(insert(ArchiveToken).values(values).returning(ArchiveToken.expires_at))
        ).scalar_one()
    return ArchiveUrl(url=f"{context.settings.base_url or ''}/v1/archives/{token}", expires_at=expires_at)


async def open_archive(services: Services, token: str, slots: TransferSlots) -> archive.Archive:
    """Return the zip of a URL. Access is that of the account that made the URL, as it is while the zip is read.

    Raises NotFound, the same for every token that opens nothing; else as `archive.open_archive`.
    """
    known = select(ArchiveToken.user_id, ArchiveToken.session_id, ArchiveToken.token_id, ArchiveToken.node_ids)
    live = known.where(ArchiveToken.token_hash == _hash_token(token), ArchiveToken.expires_at > func.now())
    async with services.db.read() as tx:
        row = (await tx.execute(live)).one_or_none()
        actor = row and await actors.find_actor(tx, row.user_id, session_id=row.session_id, token_id=row.token_id)
        if row is None or actor is None:
            raise problems.NotFound
        request_source.set_actor(actor.user_id, actor.token_name)
        top = await _read_top(tx, actor.user_id, row.node_ids)
    return await archive.stream_archive(services, top, archive.build_check(actor), slots.hold(actor.user_id))


async def _read_top(tx: Tx, user_id: uuid.UUID, node_ids: Sequence[uuid.UUID]) -> archive.Top:
    found = await access.require_each(tx, user_id, node_ids)
    visible = {node_id: one for node_id, one in found.items() if isinstance(one, access.Access)}
    if not visible:
        raise problems.NotFound
    if len(node_ids) == 1 and visible[node_ids[0]].kind == "folder":
        return await archive.read_top(tx, visible[node_ids[0]])
    return await archive.read_list(tx, node_ids, visible)


def _hash_token(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()
