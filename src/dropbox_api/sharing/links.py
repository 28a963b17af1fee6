"""Links: bearer shares. The token of a link gives access within its password, expiry and download budget.

A link works until it is revoked, expires or is used up, its node is trashed, or its maker is disabled
(`access.require_link`). The token is computed from the link's id (`link_tokens`) and stored nowhere, not even in the
stored answer of an `Idempotency-Key`.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime

import orjson
from pydantic import BaseModel, SecretStr
from sqlalchemy import func, insert, select, text, update

from dropbox_api import access, problems
from dropbox_api.accounts import actors
from dropbox_api.accounts.factors.passwords import Passwords
from dropbox_api.context import Context
from dropbox_api.db import Db, Tx, new_id
from dropbox_api.files import guard
from dropbox_api.models import Link
from dropbox_api.plumbing import audit, idempotency, page_cursors
from dropbox_api.plumbing.idempotency import Once, Replayed
from dropbox_api.schemas import EXPIRY_REFUSED
from dropbox_api.sharing import schemas
from dropbox_api.sharing.bearers import LinkSecurity
from dropbox_api.sharing.link_tokens import LinkTokens
from dropbox_api.uploads import link_sessions

_COLUMNS = (
    Link.id,
    Link.node_id,
    Link.mode,
    Link.password_hash,
    Link.expires_at,
    Link.max_downloads,
    Link.downloads,
    Link.created_at,
    Link.max_bytes,
    Link.max_file_bytes,
    Link.max_files,
    Link.received_bytes,
    Link.received_files,
)


@dataclass(frozen=True, slots=True)
class LinkRow:
    """The `_COLUMNS` of one link."""

    id: uuid.UUID
    node_id: uuid.UUID
    mode: schemas.Mode
    password_hash: str | None
    expires_at: datetime | None
    max_downloads: int | None
    downloads: int
    created_at: datetime
    max_bytes: int | None
    max_file_bytes: int | None
    max_files: int | None
    received_bytes: int
    received_files: int


class _StoredAnswer(BaseModel):
    """The stored answer of a request with an `Idempotency-Key`: without the token."""

    id: uuid.UUID


async def create_link(
    context: Context, security: LinkSecurity, node_id: uuid.UUID, wanted: schemas.CreateLink, once: Once | None
) -> schemas.Link:
    """Create a link to a node; return it with its token. A repeated request returns the link's current state.

    Raises NotFound, Forbidden, RootFolder, NotAFolder (upload), InvalidRequest (an expiry in the past),
    IdempotencyMismatch.
    Transaction: one, under the owner's lock; the password is hashed before.
    """
    secret = wanted.password.get_secret_value() if wanted.password else ""
    once = once and once.of(security.tokens.digest_request(f"{wanted.model_dump_json()}{secret}"))
    password_hash = await _hash_password(security.passwords, wanted.password)
    try:
        async with context.db.begin() as tx:
            node = await guard.lock_node(tx, context.actor_id, node_id, "owner")
            await actors.require_unended(tx, context.actor)
            await idempotency.claim_key(tx, once)
            await _require_future(tx, wanted.expires_at)
            if node.parent_id is None:
                raise problems.RootFolder("The root folder cannot be shared: share folders in it")
            if wanted.mode == "upload" and node.kind != "folder":
                raise problems.NotAFolder("Only a folder can have an upload link")
            link = await _insert_link(tx, context.actor_id, node_id, wanted, password_hash)
            await idempotency.keep_answer(tx, once, 201, _StoredAnswer(id=link.id))
    except Replayed as replayed:
        link = await _read_link(context.db, uuid.UUID(orjson.loads(replayed.answer)["id"]))
    return _view(security.tokens, link)


async def _require_future(tx: Tx, expires_at: datetime | None) -> None:
    """Raise InvalidRequest for an expiry in the past, by the clock that links expire by."""
    if expires_at is not None and expires_at <= (await tx.execute(select(func.now()))).scalar_one():
        raise problems.InvalidRequest.at("/expires_at", EXPIRY_REFUSED)


async def _hash_password(passwords: Passwords, password: SecretStr | None) -> str | None:
    return await passwords.hash(password.get_secret_value()) if password else None


async def _insert_link(
    tx: Tx, owner_id: uuid.UUID, node_id: uuid.UUID, wanted: schemas.CreateLink, password_hash: str | None
) -> LinkRow:
    values = {
        "id": new_id(),
        "owner_id": owner_id,
        "created_by": owner_id,
        "node_id": node_id,
        "mode": wanted.mode,
        "password_hash": password_hash,
        "expires_at": wanted.expires_at,
        "max_downloads": wanted.max_downloads,
        "max_bytes": wanted.max_bytes,
        "max_file_bytes": wanted.max_file_bytes,
        "max_files": wanted.max_files,
    }
    link = LinkRow(**(await tx.execute(insert(Link).values(values).returning(*_COLUMNS))).one()._asdict())
    entry = audit.Entry("link-created", node_id, {"link": str(link.id), "mode": link.mode})
    await audit.record(tx, owner_id, [entry])
    return link


async def _read_link(db: Db, link_id: uuid.UUID) -> LinkRow:
    """Return a link, revoked or not. Raises NotFound when it was deleted with its node."""
    async with db.read() as tx:
        row = (await tx.execute(select(*_COLUMNS).where(Link.id == link_id))).one_or_none()
    if row is None:
        raise problems.NotFound
    return LinkRow(**row._asdict())


def _view(tokens: LinkTokens, link: LinkRow) -> schemas.Link:
    token = tokens.issue_token(link.id)
    return schemas.Link(
        id=link.id,
        node_id=link.node_id,
        token=token,
        url_path=f"/s/{token}",
        mode=link.mode,
        has_password=link.password_hash is not None,
        expires_at=link.expires_at,
        max_downloads=link.max_downloads,
        downloads=link.downloads,
        created_at=link.created_at,
        max_bytes=link.max_bytes,
        max_file_bytes=link.max_file_bytes,
        max_files=link.max_files,
        received_bytes=link.received_bytes,
        received_files=link.received_files,
    )


async def list_links(
    context: Context, tokens: LinkTokens, node_id: uuid.UUID, *, limit: int, cursor: str | None
) -> schemas.LinkList:
    """Return to the owner a page of a node's links, newest first; expired and used-up ones are included.

    Raises NotFound, Forbidden, InvalidCursor.
    """
    page = select(*_COLUMNS).where(Link.node_id == node_id, Link.revoked_at.is_(None), link_sessions.IS_LINK)
    if cursor:
        page = page.where(Link.id < page_cursors.decode_id("links", cursor))
    async with context.db.read() as tx:
        await access.require_role(tx, context.actor_id, node_id, "owner")
        rows = (await tx.execute(page.order_by(Link.id.desc()).limit(limit + 1))).all()
    items = [_view(tokens, LinkRow(**row._asdict())) for row in rows[:limit]]
    next_cursor = page_cursors.encode_cursor("links", items[-1].id) if len(rows) > limit else None
    return schemas.LinkList(items=items, next_cursor=next_cursor)


async def change_link(
    context: Context, security: LinkSecurity, link_id: uuid.UUID, wanted: schemas.UpdateLink
) -> schemas.Link:
    """Change the given members among password, expiry and limits; return the link.

    Another password, or none, ends the upload sessions under the link, which need it no more.
    Raises NotFound, InvalidRequest (a limit that the mode does not have, an expiry in the past).
    Transaction: one, under the owner's lock; the password is hashed before.
    """
    values = wanted.model_dump(include=wanted.model_fields_set - {"password"})
    if "password" in wanted.model_fields_set:
        values["password_hash"] = await _hash_password(security.passwords, wanted.password)
    async with context.db.begin() as tx:
        link = await _lock_link(tx, context.actor_id, link_id)
        _require_fitting_limits(link.mode, wanted)
        await _require_future(tx, wanted.expires_at)
        if values:
            changed = update(Link).where(Link.id == link_id).values(**values).returning(*_COLUMNS)
            link = LinkRow(**(await tx.execute(changed)).one()._asdict())
            if "password_hash" in values:
                await link_sessions.end_under_link(tx, context.actor_id, link_id)
            detail = {"link": str(link_id), "changed": sorted(wanted.model_fields_set)}
            await audit.record(tx, context.actor_id, [audit.Entry("link-changed", link.node_id, detail)])
    return _view(security.tokens, link)


def _require_fitting_limits(mode: schemas.Mode, wanted: schemas.UpdateLink) -> None:
    """Raise InvalidRequest for a limit that links of this mode do not have."""
    refused = {"max_downloads": schemas.NO_UPLOAD_BUDGET} if mode == "upload" else schemas.UPLOAD_LIMITS
    errors = [
        {"pointer": f"/{name}", "detail": detail}
        for name, detail in refused.items()
        if getattr(wanted, name) is not None
    ]
    if errors:
        raise problems.InvalidRequest(errors=errors)


async def revoke_link(context: Context, link_id: uuid.UUID) -> None:
    """End a link and the upload sessions under it at once and for good. Raises NotFound.

    Transaction: one, under the owner's lock.
    """
    async with context.db.begin() as tx:
        link = await _lock_link(tx, context.actor_id, link_id)
        await tx.execute(update(Link).where(Link.id == link_id).values(revoked_at=func.now()))
        await link_sessions.end_under_link(tx, context.actor_id, link_id)
        entry = audit.Entry("link-revoked", link.node_id, {"link": str(link_id)})
        await audit.record(tx, context.actor_id, [entry])


async def _lock_link(tx: Tx, actor_id: uuid.UUID, link_id: uuid.UUID) -> LinkRow:
    """Lock the actor, who made the link and owns its node; return the link. Raises NotFound.

    This does not go through the node, because a link to a trashed node can be ended too.
    """
    await guard.lock_owner(tx, actor_id)
    own = link_sessions.build_own_conditions(actor_id, link_id)
    row = (await tx.execute(select(*_COLUMNS).where(*own))).one_or_none()
    if row is None:
        raise problems.NotFound
    return LinkRow(**row._asdict())


_COUNT_DOWNLOAD = update(Link).values(downloads=Link.downloads + 1).returning(Link.id)


async def count_download(tx: Tx, link_id: uuid.UUID) -> None:
    """Count one download. Raises NotFound when the link works no more, used up by a concurrent request for example.

    Transaction: joins tx, which holds the link's row until it ends.
    """
    counted = _COUNT_DOWNLOAD.where(Link.id == link_id, text(access.IS_OPEN_LINK))
    if (await tx.execute(counted)).one_or_none() is None:
        raise problems.NotFound
