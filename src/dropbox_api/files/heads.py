"""Properties of a file's head revision that change without new content: its content type and the client's time.

The events name no `revision_id`, because that would announce new content. Everything here joins a transaction that
holds the owner's lock.
"""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import bindparam, update

from dropbox_api.db import Tx
from dropbox_api.events import journal
from dropbox_api.files import guard
from dropbox_api.files.guard import LockedNode
from dropbox_api.models import Node, Revision
from dropbox_api.plumbing import audit


class NewTime(NamedTuple):
    """The client's time that the head revision of a file gets."""

    of_node: uuid.UUID
    of_revision: uuid.UUID
    to: datetime


async def set_content_type(tx: Tx, node: LockedNode, content_type: str) -> None:
    """Set the content type of a file. Idempotent. Transaction: joins tx."""
    head = update(Revision).where(Revision.id == node.head_revision_id, Revision.content_type != content_type)
    if (await tx.execute(head.values(content_type=content_type))).rowcount:
        await guard.update_node(tx, node.id, {})
        await journal.append_changes(tx, node.owner_id, [journal.Change("file.updated", node.id)])
        await audit.record(tx, node.owner_id, [audit.Entry("content-type-changed", node.id, {"to": content_type})])


async def set_time(tx: Tx, node: LockedNode, modified_at: datetime) -> None:
    """Set the client's time of a file. Idempotent. Transaction: joins tx."""
    head = update(Revision).where(
        Revision.id == node.head_revision_id, Revision.client_modified_at.is_distinct_from(modified_at)
    )
    if (await tx.execute(head.values(client_modified_at=modified_at))).rowcount:
        await guard.update_node(tx, node.id, {})
        await _tell_times(tx, node.owner_id, [(node.id, modified_at)])


async def set_times(tx: Tx, owner_id: uuid.UUID, times: Sequence[NewTime]) -> None:
    """Set the client's times of files, which differ from their own. Transaction: joins tx."""
    if times:
        rows = [new._asdict() for new in times]
        await tx.execute(_SET_TIME, rows)
        await tx.execute(_CHANGE_NODE, rows)
        await _tell_times(tx, owner_id, [(new.of_node, new.to) for new in times])


_SET_TIME = update(Revision).where(Revision.id == bindparam("of_revision")).values(client_modified_at=bindparam("to"))
_CHANGE_NODE = update(Node).where(Node.id == bindparam("of_node")).values(version=Node.version + 1)


async def _tell_times(tx: Tx, owner_id: uuid.UUID, times: Sequence[tuple[uuid.UUID, datetime]]) -> None:
    await journal.append_changes(tx, owner_id, [journal.Change("file.updated", node_id) for node_id, _ in times])
    entries = [audit.Entry("time-changed", node_id, {"to": at.isoformat()}) for node_id, at in times]
    await audit.record(tx, owner_id, entries)
