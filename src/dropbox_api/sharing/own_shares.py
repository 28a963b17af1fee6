"""What the caller shares: the own nodes with grants, or with links that work."""

import uuid
from collections.abc import Iterable

from sqlalchemy import BigInteger, DateTime, cast, exists, null, select, text, union_all

from dropbox_api import access
from dropbox_api.context import Context
from dropbox_api.db import Tx, use_snapshot
from dropbox_api.files import views
from dropbox_api.models import Grant, Id, Link, Node
from dropbox_api.plumbing import page_cursors
from dropbox_api.sharing import schemas

_IS_OPEN = text(access.IS_SHOWN_LINK)
# Without conditions of their own both tables are read in the order of their index, merged, and only as far as needed.
_NO_TIME, _NO_NUMBER, _NO_ID = cast(null(), DateTime(timezone=True)), cast(null(), BigInteger), cast(null(), Id)
_SHARE = union_all(
    select(Grant.owner_id, Grant.node_id, Grant.id, Grant.created_at).add_columns(
        _NO_TIME.label("revoked_at"),
        _NO_TIME.label("expires_at"),
        _NO_NUMBER.label("max_downloads"),
        _NO_NUMBER.label("downloads"),
        _NO_ID.label("session_id"),
        _NO_ID.label("token_id"),
    ),
    select(Link.owner_id, Link.node_id, Link.id, Link.created_at).add_columns(
        Link.revoked_at, Link.expires_at, Link.max_downloads, Link.downloads, Link.session_id, Link.token_id
    ),
).subquery("share")
# A node is listed by its newest share.
_SHARED_NODES = (
    views.select_files()
    .add_columns(_SHARE.c.id, _SHARE.c.created_at)
    .join(_SHARE, _SHARE.c.node_id == Node.id)
    .where(
        _IS_OPEN,
        Node.trashed_at.is_(None),
        ~exists().where(Grant.node_id == _SHARE.c.node_id, Grant.id > _SHARE.c.id),
        ~exists().where(Link.node_id == _SHARE.c.node_id, Link.id > _SHARE.c.id, _IS_OPEN),
    )
)

_COUNT = text(f"""
    SELECT node.id, (SELECT count(*) FROM grants WHERE node_id = node.id) AS grant_count,
        (SELECT count(*) FROM links WHERE node_id = node.id AND {access.IS_SHOWN_LINK}) AS link_count
    FROM unnest(CAST(:ids AS uuid[])) AS node(id)
""")


async def list_own_shares(context: Context, *, limit: int, cursor: str | None) -> schemas.OwnShareList:
    """Return a page of the caller's live nodes with a grant or a link that works, last shared first.

    Raises InvalidCursor.
    """
    owner_id = context.actor_id
    page = _SHARED_NODES.where(_SHARE.c.owner_id == owner_id)
    if cursor:
        page = page.where(_SHARE.c.id < page_cursors.decode_id("own shares", cursor))
    async with context.db.begin() as tx:
        await use_snapshot(tx)
        rows = await views.read_live(tx, page.order_by(_SHARE.c.id.desc()), limit + 1)
        files = [views.FileRow._make(columns) for *columns, _, _ in rows[:limit]]
        counts = await _count_shares(tx, (file.id for file in files))
        items = [
            schemas.OwnShare(
                file=file, shared_at=row[-1], grant_count=counts[file.id][0], link_count=counts[file.id][1]
            )
            for file, row in zip(await views.build_files(tx, owner_id, files), rows, strict=False)
        ]
    more = page_cursors.encode_cursor("own shares", rows[limit - 1][-2]) if len(rows) > limit else None
    return schemas.OwnShareList(items=items, next_cursor=more)


async def _count_shares(tx: Tx, node_ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, tuple[int, int]]:
    """Return the numbers of grants and of working links on each of the nodes."""
    rows = await tx.execute(_COUNT, {"ids": list(node_ids)})
    return {row.id: (row.grant_count, row.link_count) for row in rows}
