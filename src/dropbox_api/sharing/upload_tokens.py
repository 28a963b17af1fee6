"""Upload tokens: what a page of another site gets from its own server, to send files into one folder.

An upload token is a row of `links` that no list of links shows: it takes a number of bytes, lives for at most a day,
and ends with the sign-in or the personal token that made it. Its bearer is a sender (`uploads.senders`): it only adds
files, and learns nothing about the folder. Source: docs/adr/0029-upload-tokens.md.
"""

import uuid
from datetime import timedelta

from sqlalchemy import func, insert, select, update

from dropbox_api import problems
from dropbox_api.context import Context
from dropbox_api.db import new_id
from dropbox_api.files import guard
from dropbox_api.models import Link
from dropbox_api.plumbing import audit, page_cursors
from dropbox_api.sharing import schemas
from dropbox_api.sharing.link_tokens import LinkTokens
from dropbox_api.uploads import link_sessions

_CURSOR = "upload tokens"
_COLUMNS = (
    Link.id,
    Link.node_id.label("parent_id"),
    Link.max_bytes,
    Link.received_bytes,
    Link.received_files,
    Link.created_at,
    Link.expires_at,
)


async def create_token(
    context: Context, tokens: LinkTokens, wanted: schemas.CreateUploadToken
) -> schemas.CreatedUploadToken:
    """Create a token for uploads into a folder of which the caller is editor or owner.

    Raises NotFound, Forbidden, NotAFolder, RootFolder.
    Transaction: one, under the owner's lock.
    """
    async with context.db.begin() as tx:
        node = await guard.lock_node(tx, context.actor_id, wanted.parent_id, "editor")
        if node.kind != "folder":
            raise problems.NotAFolder("Only a folder receives files")
        if node.parent_id is None:
            raise problems.RootFolder("A token for the root folder would reach every folder: name one of them")
        values = {
            "id": new_id(),
            "owner_id": node.owner_id,
            "created_by": context.actor_id,
            "session_id": context.actor.session_id,
            "token_id": context.actor.token_id,
            "node_id": node.id,
            "mode": "upload",
            "max_bytes": wanted.max_bytes,
            "expires_at": func.now() + timedelta(seconds=wanted.expires_in_s),
        }
        row = (await tx.execute(insert(Link).values(values).returning(*_COLUMNS))).one()
        entry = audit.Entry("upload-token-created", node.id, {"link": str(row.id)})
        await audit.record(tx, node.owner_id, [entry])
    return schemas.CreatedUploadToken(**row._asdict(), token=tokens.issue_token(row.id))


async def list_tokens(context: Context, *, limit: int, cursor: str | None) -> schemas.UploadTokenList:
    """Return a page of the tokens that the caller made and that did not expire, newest first. Raises InvalidCursor."""
    page = select(*_COLUMNS).where(
        Link.created_by == context.actor_id,
        link_sessions.IS_UPLOAD_TOKEN,
        Link.revoked_at.is_(None),
        Link.expires_at > func.now(),
    )
    if cursor:
        page = page.where(Link.id < page_cursors.decode_id(_CURSOR, cursor))
    async with context.db.read() as tx:
        rows = (await tx.execute(page.order_by(Link.id.desc()).limit(limit + 1))).all()
    items = [schemas.UploadToken(**row._asdict()) for row in rows[:limit]]
    next_cursor = page_cursors.encode_cursor(_CURSOR, items[-1].id) if len(rows) > limit else None
    return schemas.UploadTokenList(items=items, next_cursor=next_cursor)


async def revoke_token(context: Context, token_id: uuid.UUID) -> None:
    """End a token that the caller made, and the uploads under it, at once and for good. Raises NotFound.

    The caller may have lost the access to its folder. Transaction: one, under the owner's lock.
    """
    own = (
        Link.id == token_id,
        Link.created_by == context.actor_id,
        link_sessions.IS_UPLOAD_TOKEN,
        Link.revoked_at.is_(None),
    )
    revoke = update(Link).where(*own).values(revoked_at=func.now()).returning(Link.node_id)
    async with context.db.begin() as tx:
        owner_id = await tx.scalar(select(Link.owner_id).where(*own))
        if owner_id is None:
            raise problems.NotFound
        await guard.lock_owner(tx, owner_id)
        node_id = await tx.scalar(revoke)
        if node_id is None:
            raise problems.NotFound
        await link_sessions.end_under_link(tx, owner_id, token_id)
        entry = audit.Entry("upload-token-revoked", node_id, {"link": str(token_id)})
        await audit.record(tx, owner_id, [entry])
