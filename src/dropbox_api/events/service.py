"""The journal: what happened, per recipient, numbered without gaps in commit order.

The counter is a column of the recipient's `users` row, which every change of theirs locks first: whoever gets number n
committed after whoever got n-1, so a reader that has seen n will never meet a smaller number later (ADR 0007). The same
statement writes the outbox, from which everybody else is told.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson
from sqlalchemy import text

from dropbox_api.db import Tx, new_id

Kind = Literal[
    "file.created",
    "file.updated",
    "file.renamed",
    "file.moved",
    "file.trashed",
    "file.restored",
    "file.deleted",
    "file.verified",
    "file.quarantined",
    "file.processing",
    "share.granted",
    "share.changed",
    "share.revoked",
]


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one node; `payload` is what a reader needs beyond asking for the node."""

    kind: Kind
    node_id: uuid.UUID
    payload: dict[str, Any] = field(default_factory=dict)


_APPEND = text("""
    WITH counter AS (
        UPDATE users SET journal_seq = journal_seq + CAST(:count AS bigint) WHERE id = :owner_id
        RETURNING journal_seq - CAST(:count AS bigint) AS base
    ), change AS (
        SELECT * FROM unnest(
            CAST(:ids AS uuid[]), CAST(:kinds AS text[]), CAST(:node_ids AS uuid[]), CAST(:payloads AS text[])
        ) WITH ORDINALITY AS change(id, kind, node_id, payload, place)
    ), journal AS (
        INSERT INTO events (recipient_id, seq, kind, node_id, payload)
        SELECT :owner_id, base + place, kind, node_id, CAST(payload AS jsonb) FROM counter, change
    )
    INSERT INTO outbox (id, aggregatetype, aggregateid, type, payload)
    SELECT id, 'file', :owner_id, kind, jsonb_build_object('node_id', node_id) || CAST(payload AS jsonb) FROM change
    ORDER BY place
""")


async def append(tx: Tx, owner_id: uuid.UUID, changes: Sequence[Change]) -> None:
    """Record changes of one owner's nodes, in order, in the owner's journal and the outbox.

    Transaction: joins tx, whose caller holds the owner's row lock.
    """
    if not changes:
        return
    await tx.execute(
        _APPEND,
        {
            "owner_id": owner_id,
            "count": len(changes),
            "ids": [new_id() for _ in changes],
            "kinds": [change.kind for change in changes],
            "node_ids": [change.node_id for change in changes],
            "payloads": [orjson.dumps(change.payload).decode() for change in changes],
        },
    )
