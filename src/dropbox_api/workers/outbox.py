"""Read the outbox: for `relay`, which copies changes to other journals, and `publish`, which sends them to a topic."""

import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, TextClause, select, text

from dropbox_api.db import Db, Tx
from dropbox_api.hooks.event_messages import ChangeEvent
from dropbox_api.models import Outbox

BATCH = 500
MAX_FAILURE_CHARS = 300


@dataclass(frozen=True, slots=True)
class OutboxChange:
    """One change in the outbox."""

    id: uuid.UUID
    owner_id: uuid.UUID
    kind: str
    payload: dict[str, Any]
    """`node_id`, and the payload of the journal entry."""
    recipients: Sequence[uuid.UUID]
    created_at: datetime

    def to_event(self) -> ChangeEvent:
        detail = dict(self.payload)
        file_id = uuid.UUID(detail.pop("node_id"))
        return ChangeEvent(self.id, self.kind, self.created_at, self.owner_id, file_id, detail)


_OUTBOX_CHANGE = (
    Outbox.id,
    Outbox.aggregateid,
    Outbox.type,
    Outbox.payload,
    Outbox.recipients,
    Outbox.created_at,
)

_OWNERS = """
    WITH RECURSIVE owner AS (
        (SELECT aggregateid AS id FROM outbox WHERE {pending} ORDER BY aggregateid LIMIT 1)
        UNION ALL
        SELECT (SELECT aggregateid FROM outbox WHERE aggregateid > owner.id AND {pending} ORDER BY aggregateid LIMIT 1)
        FROM owner WHERE owner.id IS NOT NULL
    )
    SELECT id FROM owner WHERE id IS NOT NULL
"""
"""Skips from owner to owner in the index: the cost does not depend on how many changes an owner has."""
TO_RELAY = text(_OWNERS.format(pending="fanned_at IS NULL AND parked_at IS NULL"))
TO_PUBLISH = text(_OWNERS.format(pending="fanned_at IS NOT NULL AND parked_at IS NULL"))


async def list_owners(db: Db, query: TextClause) -> list[uuid.UUID]:
    """Return the owners of pending changes in random order. `query` is `TO_RELAY` or `TO_PUBLISH`."""
    async with db.read() as tx:
        owner_ids = list((await tx.execute(query)).scalars())
    random.shuffle(owner_ids)  # so that several workers do not try the same owners at the same time
    return owner_ids


async def read_changes(tx: Tx, *conditions: ColumnElement[bool], limit: int) -> Sequence[OutboxChange]:
    """Return the first changes that meet the conditions, in journal order."""
    changes = select(*_OUTBOX_CHANGE).where(*conditions).order_by(Outbox.seq).limit(limit)
    return [OutboxChange(*row) for row in await tx.execute(changes)]
