"""Properties of a file that change without new content: its content type, the client's time, and `executable`.

The events name no `revision_id`, because that would announce new content. Everything here joins a transaction that
holds the owner's lock.
"""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Boolean, bindparam, func, select, update

from dropbox_api.db import Tx
from dropbox_api.events import journal
from dropbox_api.files import guard
from dropbox_api.files.guard import LockedNode
from dropbox_api.models import Node, Revision
from dropbox_api.plumbing import audit


class HeadChange(NamedTuple):
    """The client's time and the `executable` that a file gets; None: it keeps its own."""

    of_node: uuid.UUID
    of_revision: uuid.UUID
    """Its head."""
    modified_at: datetime | None
    executable: bool | None


async def set_content_type(tx: Tx, node: LockedNode, content_type: str) -> None:
    """Set the content type of a file. Idempotent. Transaction: joins tx."""
    head = update(Revision).where(Revision.id == node.head_revision_id, Revision.content_type != content_type)
    if (await tx.execute(head.values(content_type=content_type))).rowcount:
        await guard.update_node(tx, node.id, {})
        await journal.append_changes(tx, node.owner_id, [journal.Change("file.updated", node.id)])
        await audit.record(tx, node.owner_id, [audit.Entry("content-type-changed", node.id, {"to": content_type})])


async def set_time(tx: Tx, node: LockedNode, modified_at: datetime) -> None:
    """Set the client's time of a file. Idempotent. Transaction: joins tx."""
    known = select(Revision.client_modified_at).where(Revision.id == node.head_revision_id)
    if (await tx.execute(known)).scalar_one() != modified_at:
        await change_heads(tx, node.owner_id, [HeadChange(node.id, node.revision_id, modified_at, None)])


async def set_executable(tx: Tx, node: LockedNode, *, executable: bool) -> None:
    """Set whether a file may be run. Idempotent. Transaction: joins tx."""
    known = select(Node.executable).where(Node.id == node.id)
    if (await tx.execute(known)).scalar_one() != executable:
        await change_heads(tx, node.owner_id, [HeadChange(node.id, node.revision_id, None, executable)])


async def change_heads(tx: Tx, owner_id: uuid.UUID, changes: Sequence[HeadChange]) -> None:
    """Change properties of files, which differ from their own; one event for each file. Transaction: joins tx."""
    if not changes:
        return
    times = [(change, change.modified_at) for change in changes if change.modified_at is not None]
    if times:
        await tx.execute(_SET_TIME, [{"of_revision": change.of_revision, "to": at} for change, at in times])
    nodes = [{"of_node": change.of_node, "may_run": change.executable} for change in changes]
    await tx.execute(_CHANGE_NODE, nodes)
    await journal.append_changes(tx, owner_id, [journal.Change("file.updated", change.of_node) for change in changes])
    entries = [audit.Entry("time-changed", change.of_node, {"to": at.isoformat()}) for change, at in times]
    entries += [
        audit.Entry("executable-changed", change.of_node, {"to": change.executable})
        for change in changes
        if change.executable is not None
    ]
    await audit.record(tx, owner_id, entries)


_SET_TIME = update(Revision).where(Revision.id == bindparam("of_revision")).values(client_modified_at=bindparam("to"))
_CHANGE_NODE = (
    update(Node)
    .where(Node.id == bindparam("of_node"))
    .values(executable=func.coalesce(bindparam("may_run", type_=Boolean), Node.executable), version=Node.version + 1)
)
