"""The public side: what the bearer of a link can show, list, download and send. `bearers` checks the link each time.

A link with a password reveals nothing else without it. A node outside of the link does not exist for its bearer. The
budget counts every URL of content and every archive that is handed out, used or not.
"""

import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import text, tuple_

from dropbox_api import access, problems
from dropbox_api.core import names
from dropbox_api.core.thumbnails import LARGE_PX, SMALL_PX
from dropbox_api.db import Tx
from dropbox_api.files import archive, download, thumbnails, views
from dropbox_api.files.schemas import DownloadUrl
from dropbox_api.models import Node
from dropbox_api.plumbing import page_cursors
from dropbox_api.plumbing.transfer_slots import TransferSlots
from dropbox_api.sharing import links, schemas
from dropbox_api.sharing.bearers import LinkContext
from dropbox_api.sharing.link_tokens import LinkTokens
from dropbox_api.uploads.direct.body import RequestBody
from dropbox_api.uploads.direct.link_upload import send_all_to_link, send_to_link

SIZES: dict[schemas.ThumbnailSize, int] = {"small": SMALL_PX, "large": LARGE_PX}


def renew_pass(context: LinkContext, tokens: LinkTokens) -> schemas.LinkPass:
    """Return a new pass for the link, whose password or pass was checked. A link without a password ignores it."""
    link = context.link
    issued = tokens.issue_pass(link.link_id, link.password_hash or "")
    expires_at = min(issued.expires_at, link.expires_at or issued.expires_at)
    return schemas.LinkPass(link_pass=issued.text, expires_at=expires_at)


class PathFolder(NamedTuple):
    """One folder on the path from the link's folder down."""

    id: uuid.UUID
    name: str


async def describe_link(context: LinkContext) -> schemas.PublicLink:
    """Return the file or folder of the link."""
    link = context.link
    async with context.db.read() as tx:
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
        max_file_bytes=link.max_file_bytes,
    )


_FILES_CURSOR = f"public files {names.SORT_VERSION}"


async def list_public_files(
    context: LinkContext, parent_id: uuid.UUID | None, *, limit: int, cursor: str | None, with_thumbnails: bool
) -> schemas.PublicFileList:
    """Return a page of a folder by name; `parent_id` None is the link's own folder.

    Small thumbnails do not count as downloads.

    Raises NotFound, NotAFolder, LinkNotFor (upload), InvalidCursor.
    """
    _require_mode(context, "view", "download")
    async with context.db.read() as tx:
        folder = await _require_below(tx, context.link, parent_id)
        if folder.kind != "folder":
            raise problems.NotAFolder("The link leads to a file")
        path = "".join(f"/{above.name}" for above in await _read_path(tx, context.link, folder.node_id))
        page = views.select_files().where(Node.parent_id == folder.node_id, Node.trashed_at.is_(None))
        if cursor:
            after = page_cursors.decode_key(_FILES_CURSOR, cursor, str, uuid.UUID)
            page = page.where(tuple_(Node.name_sort, Node.id) > tuple_(*after))
        found = await tx.execute(page.order_by(Node.name_sort, Node.id).limit(limit + 1))
        rows = [views.FileRow(*row) for row in found]
        keys = await _find_thumbnails(tx, rows[:limit]) if with_thumbnails else {}
    urls = _sign_thumbnails(context, keys)
    items = [_describe_file(row, f"{path}/{row.name}", urls) for row in rows[:limit]]
    last = rows[limit - 1] if len(rows) > limit else None
    next_cursor = page_cursors.encode_cursor(_FILES_CURSOR, last.name_sort, last.id) if last else None
    return schemas.PublicFileList(items=items, next_cursor=next_cursor)


async def describe_file(context: LinkContext) -> schemas.PublicFile:
    """Return the link's own file as a list shows files, with its small thumbnail."""
    async with context.db.read() as tx:
        found = await tx.execute(views.select_files().where(Node.id == context.link.top.node_id))
        row = views.FileRow(*found.one())
        keys = await _find_thumbnails(tx, [row])
    return _describe_file(row, f"/{row.name}", _sign_thumbnails(context, keys))


_ThumbnailKeys = Mapping[uuid.UUID | None, tuple[uuid.UUID, int]]
"""Blob and version of the thumbnails of revisions."""


async def _find_thumbnails(tx: Tx, rows: Sequence[views.FileRow]) -> _ThumbnailKeys:
    return await thumbnails.find_keys(tx, [row.revision_id for row in rows if row.revision_id])


def _sign_thumbnails(context: LinkContext, keys: _ThumbnailKeys) -> dict[uuid.UUID | None, str]:
    """Return the URLs of small thumbnails by revision; none where the server shows none."""
    if not context.settings.thumbnails.enabled:
        return {}
    signed = thumbnails.sign_thumbnails(context, keys.values(), SMALL_PX)
    return {revision_id: request.url for revision_id, request in zip(keys, signed, strict=True)}


def _describe_file(row: views.FileRow, path: str, thumbnail_urls: Mapping[uuid.UUID | None, str]) -> schemas.PublicFile:
    return schemas.PublicFile(
        id=row.id,
        kind=row.kind,
        name=row.name,
        path=path,
        size_bytes=row.size_bytes,
        content_type=row.content_type,
        modified_at=row.modified_at,
        thumbnail_url=thumbnail_urls.get(row.revision_id),
    )


async def list_path(context: LinkContext, folder_id: uuid.UUID) -> list[PathFolder]:
    """Return the folders from below the link's own down to this one, for navigation. Raises NotFound."""
    async with context.db.read() as tx:
        await _require_below(tx, context.link, folder_id)
        return await _read_path(tx, context.link, folder_id)


async def sign_public_download(context: LinkContext, file_id: uuid.UUID, *, inline: bool) -> DownloadUrl:
    """Return a short-lived URL of a file's content, counted as one download.

    A view link only shows content, and only types that cannot run script.
    Raises NotFound, NotAFile, LinkNotFor, ContentQuarantined, ContentDamaged.
    Transaction: one; signing is local.
    """
    _require_mode(context, "view", "download")
    link = context.link
    shows = inline or link.mode == "view"
    async with context.db.begin() as tx:
        content = await download.read_content(tx, await _require_below(tx, link, file_id))
        if link.mode == "view" and not download.is_shown(content):
            detail = "A browser cannot show this type safely, and the link does not allow downloads"
            raise problems.LinkNotFor(detail, mode="view")
        await links.count_download(tx, link.link_id)
        await download.record_use(tx, file_id, content, inline=shows, link_id=link.link_id)
    return download.make_download_url(context, content, inline=shows)


async def sign_public_thumbnail(context: LinkContext, file_id: uuid.UUID, size: schemas.ThumbnailSize) -> str:
    """Return the URL of a file's thumbnail. A large one counts as one download, a small one is free; no audit.

    Raises NotFound (no thumbnail, too), NotAFile, LinkNotFor, ContentQuarantined, ContentDamaged.
    Transaction: one; signing is local.
    """
    _require_mode(context, "view", "download")
    is_enabled, link = context.settings.thumbnails.enabled, context.link
    async with context.db.begin() as tx:
        content = await download.read_content(tx, await _require_below(tx, link, file_id))
        keys = await thumbnails.find_keys(tx, [content.revision_id])
        if not keys or not is_enabled:
            raise problems.NotFound("The file has no thumbnail, or the server has yet to make it")
        if size == "large":
            await links.count_download(tx, link.link_id)
    [signed] = thumbnails.sign_thumbnails(context, [keys[content.revision_id]], SIZES[size])
    return signed.url


async def open_public_archive(
    context: LinkContext, folder_id: uuid.UUID | None, slots: TransferSlots
) -> archive.Archive:
    """Return a folder as a zip, counted as one download; `folder_id` None is the link's own folder.

    Raises NotFound, NotAFolder, LinkNotFor (view, upload); while it is read, what `archive` raises.
    Transaction: one; then those of `archive`.
    """
    _require_mode(context, "download")
    link_id = context.link.link_id
    async with context.db.begin() as tx:
        granted = await _require_below(tx, context.link, folder_id)
        await archive.record_archives(tx, [granted], link=str(link_id))
        top = await archive.read_top(tx, granted)
        await links.count_download(tx, link_id)

    async def may_read(tx: Tx, node_id: uuid.UUID) -> bool:
        return await access.may_finish_link(tx, link_id, node_id)

    return await archive.stream_archive(context, top, may_read, slots.hold(link_id))


async def receive_file(context: LinkContext, body: RequestBody) -> schemas.ReceivedFile:
    """Store the file of a form in an upload link's folder. Raises LinkNotFor and what `send_to_link` does."""
    _require_mode(context, "upload")
    received = await send_to_link(context, context.link, body)
    return schemas.ReceivedFile(name=received.name, size_bytes=received.size_bytes)


async def receive_files(context: LinkContext, body: RequestBody) -> AsyncIterator[schemas.ReceivedFile]:
    """Store all files of a form in an upload link's folder; yield each one. Raises as `receive_file` does."""
    _require_mode(context, "upload")
    async for received in send_all_to_link(context, context.link, body):
        yield schemas.ReceivedFile(name=received.name, size_bytes=received.size_bytes)


def _require_mode(context: LinkContext, *modes: schemas.Mode) -> None:
    if context.link.mode not in modes:
        raise problems.LinkNotFor(mode=context.link.mode)


async def _require_below(tx: Tx, link: access.LinkAccess, node_id: uuid.UUID | None) -> access.Access:
    """Return a live node of the link, its own one for None. Raises NotFound."""
    top_id = link.top.node_id
    return await access.require_below_link(tx, top_id, node_id or top_id)


_READ_PATH = text(f"""
    WITH RECURSIVE {access.ancestors_cte("nodes WHERE id = :node_id", "name", climb="ancestors.id <> :top_id")}
    SELECT id, name FROM ancestors WHERE id <> :top_id AND EXISTS (SELECT FROM ancestors WHERE id = :top_id)
    ORDER BY height DESC
""")


async def _read_path(tx: Tx, link: access.LinkAccess, node_id: uuid.UUID) -> list[PathFolder]:
    """Return the folders from below the link's own down to a node; none for a node that is not below it (any more)."""
    rows = await tx.execute(_READ_PATH, {"node_id": node_id, "top_id": link.top.node_id})
    return [PathFolder(*row) for row in rows]
