"""What people without an account do with a link: look, fetch, send. The link is asked anew for every step.

A link whose password was not given tells nothing but that it has one. What a link does not lead to does not exist.
A budget counts every URL of content and every archive that is handed out, whatever comes of it.
"""

import uuid
from dataclasses import dataclass

from sqlalchemy import text

from dropbox_api import access, problems
from dropbox_api.accounts.passwords import Passwords
from dropbox_api.context import Services
from dropbox_api.db import Db, Tx
from dropbox_api.files import archive, download, views
from dropbox_api.models import Node
from dropbox_api.plumbing import audit, page_cursors
from dropbox_api.plumbing.limits import Limits
from dropbox_api.plumbing.transfer_slots import TransferSlots
from dropbox_api.settings import Settings
from dropbox_api.sharing import links, schemas
from dropbox_api.sharing.link_tokens import LinkTokens
from dropbox_api.storage.object_store import ObjectStore
from dropbox_api.uploads.direct.body import RequestBody
from dropbox_api.uploads.direct.link_upload import send_to_link


@dataclass(frozen=True, slots=True)
class Key:
    """What somebody shows to be let in by a link."""

    token: str
    password: str | None = None
    browser_pass: str | None = None
    """What a page gave them when they gave the password there."""


async def enter(db: Db, passwords: Passwords, counting: Limits, tokens: LinkTokens, key: Key) -> access.LinkAccess:
    """Return the link that a key opens.

    Raises NotFound, the same for every token that opens nothing; LinkPasswordRequired (none, or the wrong one);
    RateLimited when too many wrong ones were tried, and then for the right one, too.
    Transaction: none is open while the password is checked.
    """
    link_id = tokens.read(key.token)
    if link_id is None:
        raise problems.NotFound
    async with db.read() as tx:
        link = await access.require_link(tx, link_id)
    if link.password_hash is None:
        return link
    if key.browser_pass and tokens.is_pass(key.browser_pass, link_id, link.password_hash):
        return link
    if key.password is None:
        raise problems.LinkPasswordRequired
    await counting.test("link_password", str(link_id))
    right, _ = await passwords.verify(key.password, link.password_hash)
    # Again, for many that come at once are all let in above: the right one is not told beyond the limit, either.
    await (counting.test if right else counting.hit)("link_password", str(link_id))
    if not right:
        raise problems.LinkPasswordRequired("The password is wrong")
    return link


def _require_mode(link: access.LinkAccess, *modes: str) -> None:
    if link.mode not in modes:
        raise problems.LinkNotFor(mode=link.mode)


async def describe(db: Db, link: access.LinkAccess) -> schemas.PublicLink:
    """Return what a link leads to."""
    async with db.read() as tx:
        head = (await tx.execute(views.select_files().where(Node.id == link.top.node_id))).one()
    return schemas.PublicLink(
        id=link.top.node_id,
        name=link.name,
        kind=link.top.kind,
        size_bytes=head.size_bytes,
        content_type=head.content_type,
        mode=link.mode,
        needs_password=link.password_hash is not None,
        expires_at=link.expires_at,
    )


_WAY_DOWN = text(f"""
    WITH RECURSIVE {access.ancestors_cte("nodes WHERE id = :node_id", "name", climb="ancestors.id <> :top_id")}
    SELECT id, name FROM ancestors WHERE id <> :top_id ORDER BY height DESC
""")


async def way_down(tx: Tx, link: access.LinkAccess, node_id: uuid.UUID) -> list[tuple[uuid.UUID, str]]:
    """Return id and name of each folder from below the link's own down to this one. Raises NotFound."""
    await access.require_below(tx, link.top.node_id, node_id)
    rows = await tx.execute(_WAY_DOWN, {"node_id": node_id, "top_id": link.top.node_id})
    return [(row.id, row.name) for row in rows]


async def list_files(
    db: Db, link: access.LinkAccess, parent_id: uuid.UUID | None, *, limit: int, cursor: str | None
) -> schemas.PublicFileList:
    """Return a page of a folder by its names: the link's own folder when none is named.

    Raises NotFound, NotAFolder, LinkNotFor (upload), InvalidCursor.
    """
    _require_mode(link, "view", "download")
    async with db.read() as tx:
        folder = await access.require_below(tx, link.top.node_id, parent_id or link.top.node_id)
        if folder.kind != "folder":
            raise problems.NotAFolder("The link leads to a file")
        path = "".join(f"/{name}" for _, name in await way_down(tx, link, folder.node_id))
        page = views.select_files().where(Node.parent_id == folder.node_id, Node.trashed_at.is_(None))
        if cursor:
            page = page.where(Node.name_key > page_cursors.decode_key("public files", cursor, str)[0])
        rows = (await tx.execute(page.order_by(Node.name_key).limit(limit + 1))).all()
    items = [
        schemas.PublicFile(
            id=row.id,
            kind=row.kind,
            name=row.name,
            path=f"{path}/{row.name}",
            size_bytes=row.size_bytes,
            content_type=row.content_type,
            modified_at=row.modified_at,
        )
        for row in rows[:limit]
    ]
    more = page_cursors.encode_cursor("public files", rows[limit - 1].name_key) if len(rows) > limit else None
    return schemas.PublicFileList(items=items, next_cursor=more)


async def folders_down(db: Db, link: access.LinkAccess, node_id: uuid.UUID) -> list[tuple[uuid.UUID, str]]:
    """Return the way down to a folder, for people to go back by. Raises NotFound."""
    async with db.read() as tx:
        return await way_down(tx, link, node_id)


async def fetch(
    db: Db, store: ObjectStore, settings: Settings, link: access.LinkAccess, file_id: uuid.UUID, *, inline: bool
) -> str:
    """Return a URL of a file's content that is good for minutes, counted as one download.

    By a view link it is shown and not saved, which only types that cannot run script are.
    Raises NotFound, NotAFile, LinkNotFor, ContentQuarantined, ContentDamaged.
    Transaction: one; signing is local.
    """
    _require_mode(link, "view", "download")
    async with db.begin() as tx:
        content = await download.read_content(tx, await access.require_below(tx, link.top.node_id, file_id))
        if link.mode == "view" and content.content_type not in download.SAFE_INLINE:
            raise problems.LinkNotFor("A browser cannot show this safely, and this link is for looking", mode="view")
        await links.spend(tx, link.link_id)
        detail = {"link": str(link.link_id), "revision_id": str(content.revision_id)}
        await audit.record(tx, content.owner_id, [audit.Entry("downloaded", file_id, detail)])
    return download.sign_content(store, settings, content, "GET", inline=inline or link.mode == "view").url


async def open_archive(
    db: Db, store: ObjectStore, link: access.LinkAccess, folder_id: uuid.UUID | None, slots: TransferSlots
) -> archive.Archive:
    """Return a folder (the link's own when none is named) as a zip, counted as one download.

    Raises NotFound, NotAFolder, LinkNotFor (view, upload); while it is read, what `archive` raises.
    Transaction: one; then those of `archive`.
    """
    _require_mode(link, "download")
    async with db.begin() as tx:
        granted = await access.require_below(tx, link.top.node_id, folder_id or link.top.node_id)
        top = await archive.find_top(tx, granted, {"link": str(link.link_id)})
        await links.spend(tx, link.link_id)
    return await archive.make(db, store, top, slots.hold(link.link_id))


async def send(
    db: Db, store: ObjectStore, settings: Settings, link: access.LinkAccess, body: RequestBody
) -> schemas.Received:
    """Store the file of a form in an upload link's folder. Raises LinkNotFor and what `send_to_link` does."""
    _require_mode(link, "upload")
    received = await send_to_link(Services(db, store, settings), link, body)
    return schemas.Received(name=received.name, size_bytes=received.size_bytes)
