"""How every change of the tree begins: the owner's lock, then permission and `If-Match`, asked again under it.

Changes of one owner's tree are serial, so what is read after the lock stays true until it is written: no two moves make
a cycle, no two files get one name.
"""

import re
import uuid
from collections.abc import Mapping
from typing import Any

from sqlalchemy import select, update

from dropbox_api import access, problems
from dropbox_api.db import Tx
from dropbox_api.models import Node, User
from dropbox_api.plumbing import idempotency
from dropbox_api.plumbing.idempotency import Once


async def lock_owner(tx: Tx, owner_id: uuid.UUID) -> Any:
    """Take the lock that every change of an owner's things begins with; return the counters.

    NO KEY UPDATE: it excludes other changes, but not a sign-in that merely refers to the user.
    """
    columns = (User.quota_bytes, User.used_bytes, User.reserved_bytes, User.quota_nodes, User.used_nodes)
    locked = select(*columns, User.reserved_nodes).where(User.id == owner_id).with_for_update(key_share=True)
    return (await tx.execute(locked)).one()


_ETAG = re.compile(r'\s*(?:W/)?"([^"]*)"\s*(?:,|$)')


async def lock_for_change(
    tx: Tx,
    actor_id: uuid.UUID,
    node_id: uuid.UUID,
    if_match: str | None = None,
    *,
    once: Once | None = None,
    role: access.Role = "editor",
    in_trash: bool = False,
) -> Any:
    """Lock the owner of a node to which the actor is at least `role`; return its row (every column of `nodes`).

    `in_trash`: it must lie in the trash itself; otherwise it must be live. `once` is claimed before the ETag is looked
    at: what was done under the key has changed it.
    Raises NotFound, Forbidden, PreconditionFailed, InvalidRequest (`if_match` is no list of ETags), Replayed,
    IdempotencyMismatch.
    """
    if in_trash:
        granted = await access.require_trashed(tx, actor_id, node_id)
        await lock_owner(tx, granted.owner_id)
        await access.require_trashed(tx, actor_id, node_id)
    else:
        granted = await access.require(tx, actor_id, node_id, role)
        await lock_owner(tx, granted.owner_id)
        await access.require(tx, actor_id, node_id, role)
    node = (await tx.execute(select(*Node.__table__.c).where(Node.id == node_id))).one()
    await idempotency.claim_key(tx, once)
    if if_match is not None:
        _require_match(node.version, if_match)
    return node


def _require_match(version: int, if_match: str) -> None:
    """Compare a node's version with an If-Match header (RFC 9110 section 13.1.1): `*`, or a list of ETags.

    Raises PreconditionFailed, InvalidRequest. A proxy that compressed the answer made the ETag weak: that is forgiven.
    """
    if if_match.strip() == "*":
        return
    listed = _ETAG.findall(if_match)
    if not listed or _ETAG.sub("", if_match).strip():
        raise problems.InvalidRequest(
            errors=[{"pointer": "/If-Match", "detail": 'should be "*" or a list of ETags in quotes'}]
        )
    if str(version) not in listed:
        raise problems.PreconditionFailed(etag=f'"{version}"')


async def update_node(tx: Tx, node_id: uuid.UUID, values: Mapping[str, Any]) -> None:
    """Set columns of a node, and with them its version; its time is that of its content and stays."""
    await tx.execute(update(Node).where(Node.id == node_id).values(version=Node.version + 1, **values))
