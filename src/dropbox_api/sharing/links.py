"""Links: bearer shares. Whoever has a link's token has its access, within password, expiry and budget.

A link works until it is revoked, has expired or is used up, its node lies in the trash, or its maker is disabled
(`access.require_link`). Its token is computed from its id (`tokens`), and stored nowhere: not with the answer of an
`Idempotency-Key` either.
"""

import uuid
from typing import Any

import orjson
from pydantic import BaseModel, SecretStr
from sqlalchemy import func, insert, or_, select, update

from dropbox_api import access, problems
from dropbox_api.accounts.passwords import Passwords
from dropbox_api.db import Db, Tx, new_id
from dropbox_api.files import guard
from dropbox_api.models import Link
from dropbox_api.plumbing import audit, idempotency, page_cursors
from dropbox_api.plumbing.idempotency import Once, Replayed
from dropbox_api.sharing import schemas
from dropbox_api.sharing.link_tokens import LinkTokens


class _Made(BaseModel):
    """What is kept of the answer to a request that may be repeated."""

    id: uuid.UUID


async def create(
    db: Db,
    passwords: Passwords,
    tokens: LinkTokens,
    actor_id: uuid.UUID,
    node_id: uuid.UUID,
    wanted: schemas.CreateLink,
    *,
    once: Once | None,
) -> schemas.Link:
    """Make a link to a node; return it with its token. A repetition returns the link as it is by then.

    Raises NotFound, Forbidden, RootFolder, NotAFolder (upload), IdempotencyMismatch.
    Transaction: one, under the owner's lock; the password is hashed before.
    """
    secret = wanted.password.get_secret_value() if wanted.password else ""
    once = once and once.of(tokens.digest(f"{wanted.model_dump_json()}{secret}"))
    password_hash = await _hash(passwords, wanted.password)
    try:
        async with db.begin() as tx:
            node = await guard.lock_for_change(tx, actor_id, node_id, once=once, role="owner")
            if node.parent_id is None:
                raise problems.RootFolder("The root folder cannot be shared: share folders in it")
            if wanted.mode == "upload" and node.kind != "folder":
                raise problems.NotAFolder("Only folders take uploads")
            row = {
                "id": new_id(),
                "owner_id": actor_id,
                "created_by": actor_id,
                "node_id": node_id,
                "mode": wanted.mode,
                "password_hash": password_hash,
                "expires_at": wanted.expires_at,
                "max_downloads": wanted.max_downloads,
            }
            made = (await tx.execute(insert(Link).values(row).returning(*Link.__table__.c))).one()
            act = audit.Entry("link-created", node_id, {"link": str(made.id), "mode": made.mode})
            await audit.record(tx, actor_id, [act])
            await idempotency.keep_answer(tx, once, 201, _Made(id=made.id))
    except Replayed as replayed:
        link_id = uuid.UUID(orjson.loads(replayed.answer)["id"])
        async with db.read() as tx:
            known = (await tx.execute(select(*Link.__table__.c).where(Link.id == link_id))).one_or_none()
        if known is None:  # it went with its node
            raise problems.NotFound from None
        return _view(tokens, known)
    return _view(tokens, made)


async def _hash(passwords: Passwords, password: SecretStr | None) -> str | None:
    return await passwords.hash(password.get_secret_value()) if password else None


def _view(tokens: LinkTokens, row: Any) -> schemas.Link:
    token = tokens.token(row.id)
    return schemas.Link(
        id=row.id,
        node_id=row.node_id,
        token=token,
        url_path=f"/s/{token}",
        mode=row.mode,
        has_password=row.password_hash is not None,
        expires_at=row.expires_at,
        max_downloads=row.max_downloads,
        downloads=row.downloads,
        created_at=row.created_at,
    )


async def list_links(
    db: Db, tokens: LinkTokens, actor_id: uuid.UUID, node_id: uuid.UUID, *, limit: int, cursor: str | None
) -> schemas.LinkList:
    """Return to its owner a page of a node's links, newest first, those too that have expired or are used up.

    Raises NotFound, Forbidden, InvalidCursor.
    """
    page = select(*Link.__table__.c).where(Link.node_id == node_id, Link.revoked_at.is_(None))
    if cursor:
        page = page.where(Link.id < page_cursors.decode_id("links", cursor))
    async with db.read() as tx:
        await access.require(tx, actor_id, node_id, "owner")
        rows = (await tx.execute(page.order_by(Link.id.desc()).limit(limit + 1))).all()
    more = page_cursors.encode_cursor("links", rows[limit - 1].id) if len(rows) > limit else None
    return schemas.LinkList(items=[_view(tokens, row) for row in rows[:limit]], next_cursor=more)


async def change(
    db: Db,
    passwords: Passwords,
    tokens: LinkTokens,
    actor_id: uuid.UUID,
    link_id: uuid.UUID,
    wanted: schemas.ChangeLink,
) -> schemas.Link:
    """Change password, expiry and budget of a link, as far as they are given; return it.

    Raises NotFound, InvalidRequest (a budget for an upload link).
    Transaction: one, under the owner's lock; the password is hashed before.
    """
    values = wanted.model_dump(include=wanted.model_fields_set - {"password"})
    if "password" in wanted.model_fields_set:
        values["password_hash"] = await _hash(passwords, wanted.password)
    async with db.begin() as tx:
        row = await _locked(tx, actor_id, link_id)
        if row.mode == "upload" and wanted.max_downloads is not None:
            detail = "nothing is downloaded by an upload link"
            raise problems.InvalidRequest(errors=[{"pointer": "/max_downloads", "detail": detail}])
        if values:
            changed = update(Link).where(Link.id == link_id).values(**values).returning(*Link.__table__.c)
            row = (await tx.execute(changed)).one()
            detail_of = {"link": str(link_id), "changed": sorted(wanted.model_fields_set)}
            await audit.record(tx, actor_id, [audit.Entry("link-changed", row.node_id, detail_of)])
    return _view(tokens, row)


async def revoke(db: Db, actor_id: uuid.UUID, link_id: uuid.UUID) -> None:
    """End a link at once and for good. Raises NotFound. Transaction: one, under the owner's lock."""
    async with db.begin() as tx:
        row = await _locked(tx, actor_id, link_id)
        await tx.execute(update(Link).where(Link.id == link_id).values(revoked_at=func.now()))
        await audit.record(tx, actor_id, [audit.Entry("link-revoked", row.node_id, {"link": str(link_id)})])


async def _locked(tx: Tx, actor_id: uuid.UUID, link_id: uuid.UUID) -> Any:
    """Lock the actor, who made the link; return its row. Raises NotFound.

    Not by way of the node: a link to what lies in the trash can be ended, too.
    """
    await guard.lock_owner(tx, actor_id)
    mine = select(*Link.__table__.c).where(
        Link.id == link_id, Link.owner_id == actor_id, Link.created_by == actor_id, Link.revoked_at.is_(None)
    )
    row = (await tx.execute(mine)).one_or_none()
    if row is None:
        raise problems.NotFound
    return row


_SPEND = update(Link).values(downloads=Link.downloads + 1).returning(Link.id)


async def spend(tx: Tx, link_id: uuid.UUID) -> None:
    """Count one download by a link. Raises NotFound when the link works no more, used up by others just now, say.

    Transaction: joins tx, which holds the link's row until it ends.
    """
    works = (
        Link.id == link_id,
        Link.revoked_at.is_(None),
        or_(Link.expires_at.is_(None), Link.expires_at > func.now()),
        or_(Link.max_downloads.is_(None), Link.downloads < Link.max_downloads),
    )
    if (await tx.execute(_SPEND.where(*works))).one_or_none() is None:
        raise problems.NotFound
