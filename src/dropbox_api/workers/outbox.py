"""The outbox as its readers see it: `relay`, which fans changes out, and `publishing`, which sends them to a topic."""

import random
import uuid
from typing import Any

from sqlalchemy import ColumnElement, Select, TextClause, select, text

from dropbox_api.db import Db
from dropbox_api.hooks import outward
from dropbox_api.models import Outbox

BATCH = 500
MAX_FAILURE_CHARS = 300

_OWNERS = """
    WITH RECURSIVE owner AS (
        (SELECT aggregateid AS id FROM outbox WHERE {waiting} ORDER BY aggregateid LIMIT 1)
        UNION ALL
        SELECT (SELECT aggregateid FROM outbox WHERE aggregateid > owner.id AND {waiting} ORDER BY aggregateid LIMIT 1)
        FROM owner WHERE owner.id IS NOT NULL
    )
    SELECT id FROM owner WHERE id IS NOT NULL
"""
"""Jumps from owner to owner: one who has much to tell costs no more than the others."""
TO_FAN_OUT = text(_OWNERS.format(waiting="fanned_at IS NULL AND parked_at IS NULL"))
TO_PUBLISH = text(_OWNERS.format(waiting="fanned_at IS NOT NULL AND parked_at IS NULL"))


async def owners(db: Db, query: TextClause) -> list[uuid.UUID]:
    """Return whose changes wait, in no order: `query` is one of the two above."""
    async with db.read() as tx:
        owner_ids = list((await tx.execute(query)).scalars())
    random.shuffle(owner_ids)  # so that several workers do not try them in step
    return owner_ids


def changes(*conditions: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
    """Select changes in the order in which they happened."""
    columns = (Outbox.id, Outbox.aggregateid.label("owner_id"), Outbox.type, Outbox.payload, Outbox.recipients)
    return select(*columns, Outbox.created_at).where(*conditions).order_by(Outbox.seq)


def happened(row: Any) -> outward.Happened:
    """Read a row of `changes`."""
    detail = dict(row.payload)
    file_id = uuid.UUID(detail.pop("node_id"))
    return outward.Happened(row.id, row.type, row.created_at, row.owner_id, file_id, detail)
