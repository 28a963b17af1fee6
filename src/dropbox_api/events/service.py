"""The journal: what happened, per recipient, numbered without gaps in commit order.

The counter is a column of the recipient's `users` row, which every change of theirs locks first: whoever gets number n
committed after whoever got n-1, so a reader that has seen n will never meet a smaller number later (ADR 0007). The same
statement writes the outbox, from which everybody else is told: whoever had access to the node before the change, or has
it since. Who that is, is settled here, in the change's own transaction; the relay only carries.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple

import orjson
from sqlalchemy import text

from dropbox_api import problems
from dropbox_api.db import Tx, new_id, touch

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
    "file.damaged",
    "file.repaired",
    "file.processing",
    "share.granted",
    "share.changed",
    "share.revoked",
]
REMOVALS: frozenset[Kind] = frozenset({"file.moved", "file.trashed", "file.deleted", "share.revoked"})
"""All that somebody is told of what is not theirs to see any more: that it is gone, and nothing else."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one node; `payload` is what a reader needs beyond asking for the node."""

    kind: Kind
    node_id: uuid.UUID
    payload: dict[str, Any] = field(default_factory=dict)
    others: frozenset[uuid.UUID] = frozenset()
    """Who is told though they cannot see the node now: who could until this change, or lose or get it by it."""


_APPEND = text("""
    WITH RECURSIVE counter AS (
        UPDATE users SET journal_seq = journal_seq + CAST(:count AS bigint) WHERE id = :owner_id
        RETURNING journal_seq - CAST(:count AS bigint) AS base
    ), change AS (
        SELECT * FROM unnest(
            CAST(:ids AS uuid[]), CAST(:kinds AS text[]), CAST(:node_ids AS uuid[]), CAST(:payloads AS text[])
        ) WITH ORDINALITY AS change(id, kind, node_id, payload, place)
    ), other AS (
        SELECT * FROM unnest(CAST(:other_places AS bigint[]), CAST(:other_ids AS uuid[])) AS other(place, user_id)
    ), chain AS (
        SELECT change.place, nodes.id, nodes.parent_id FROM change JOIN nodes ON nodes.id = change.node_id
        WHERE change.kind LIKE 'file.%'
            AND EXISTS (SELECT FROM grants WHERE owner_id = :owner_id AND grantee_id IS NOT NULL)
        UNION ALL
        SELECT chain.place, up.id, up.parent_id FROM chain JOIN nodes up ON up.id = chain.parent_id
    ), recipient AS (
        SELECT place, grantee_id AS user_id FROM chain JOIN grants ON grants.node_id = chain.id
        WHERE grantee_id IS NOT NULL
        UNION SELECT place, user_id FROM other
    ), told AS (
        SELECT place, array_agg(user_id ORDER BY user_id) AS user_ids FROM recipient GROUP BY place
    ), journal AS (
        INSERT INTO events (recipient_id, seq, id, kind, owner_id, node_id, payload)
        SELECT :owner_id, base + place, id, kind, :owner_id, node_id, CAST(payload AS jsonb) FROM counter, change
    )
    INSERT INTO outbox (id, aggregatetype, aggregateid, type, payload, seq, recipients)
    SELECT id, 'file', :owner_id, kind, jsonb_build_object('node_id', node_id) || CAST(payload AS jsonb), base + place,
        coalesce(user_ids, '{}')
    FROM counter, change LEFT JOIN told USING (place)
""")


async def append(tx: Tx, owner_id: uuid.UUID, changes: Sequence[Change]) -> None:
    """Record changes of one owner's nodes, in order, in the owner's journal and the outbox.

    Of a change to a file or folder everybody learns whom the node, or a folder above it, is shared with now, the trash
    not looked at; of `share.` only the `others` do.
    Transaction: joins tx, whose caller holds the owner's row lock.
    """
    if not changes:
        return
    others = [(place, user_id) for place, change in enumerate(changes, 1) for user_id in change.others]
    await tx.execute(
        _APPEND,
        {
            "owner_id": owner_id,
            "count": len(changes),
            "ids": [new_id() for _ in changes],
            "kinds": [change.kind for change in changes],
            "node_ids": [change.node_id for change in changes],
            "payloads": [orjson.dumps(change.payload).decode() for change in changes],
            "other_places": [place for place, _ in others],
            "other_ids": [user_id for _, user_id in others],
        },
    )
    touch(tx, owner_id)


_RECIPIENTS = text("""
    WITH RECURSIVE chain AS (
        SELECT id, parent_id FROM nodes WHERE id = :node_id
        UNION ALL
        SELECT up.id, up.parent_id FROM chain JOIN nodes up ON up.id = chain.parent_id
    )
    SELECT DISTINCT grantee_id FROM chain JOIN grants ON grants.node_id = chain.id WHERE grantee_id IS NOT NULL
""")


async def recipients(tx: Tx, node_id: uuid.UUID) -> frozenset[uuid.UUID]:
    """Return whom a node, or a folder above it, is shared with: for `Change.others`, before the node leaves there."""
    return frozenset((await tx.execute(_RECIPIENTS, {"node_id": node_id})).scalars())


# Reading

_MARK = 2**48 - 1
"""The last of an id's bits, which are random."""


class Place(NamedTuple):
    """How far a journal was read: up to event number `seq`, or to its beginning (0).

    `mark` tells that event from the one that has its number since the database was restored from a backup; 0 where
    the event is not there any more.
    """

    seq: int
    mark: int = 0


def place(seq: int, event_id: uuid.UUID | None) -> Place:
    """Return the place after an event."""
    return Place(seq, event_id.int & _MARK if event_id else 0)


_READ_AFTER = text("""
    SELECT users.journal_seq, event.* FROM users LEFT JOIN LATERAL (
        SELECT seq, id, kind, owner_id, node_id, payload, created_at FROM events
        WHERE recipient_id = :recipient_id AND seq >= :seq ORDER BY seq LIMIT CAST(:limit AS bigint) + 1
    ) event ON true
    WHERE users.id = :recipient_id ORDER BY event.seq
""")


async def read_after(tx: Tx, recipient_id: uuid.UUID, at: Place, limit: int) -> tuple[Sequence[Any], int]:
    """Return the first `limit` events after a place, in order, and the number of the newest there is.

    Rows: seq, id, kind, owner_id, node_id, payload, created_at. One statement, so that both are of one moment.
    Raises CursorExpired when what follows the place is not there any more, or when it is not a place of this journal:
    that was restored from an older backup, and has not come so far, or has gone another way since.
    """
    bound = {"recipient_id": recipient_id, "seq": at.seq, "limit": limit}
    rows = (await tx.execute(_READ_AFTER, bound)).all()
    newest: int = rows[0].journal_seq
    events = [row for row in rows if row.seq is not None]
    if events and events[0].seq == at.seq:
        if at.mark and place(at.seq, events[0].id) != at:
            raise problems.CursorExpired
        del events[0]
    if (events[0].seq - 1 if events else newest) != at.seq:
        raise problems.CursorExpired
    return events[:limit], newest


_NEWEST = text("""
    SELECT journal_seq, events.id FROM users LEFT JOIN events ON recipient_id = :recipient_id AND seq = journal_seq
    WHERE users.id = :recipient_id
""")


async def newest(tx: Tx, recipient_id: uuid.UUID) -> Place:
    """Return the place after the newest event in a journal."""
    found = (await tx.execute(_NEWEST, {"recipient_id": recipient_id})).one()
    return place(found.journal_seq, found.id)


_BEFORE = text("""
    WITH found AS (
        SELECT coalesce(
            (SELECT seq - 1 FROM events WHERE recipient_id = :recipient_id AND created_at >= :since
                ORDER BY seq LIMIT 1),
            (SELECT journal_seq FROM users WHERE id = :recipient_id)
        ) AS seq
    )
    SELECT found.seq, events.id, CAST(:since AS timestamptz) >= now() - CAST(:retention AS interval) AS is_kept
    FROM found LEFT JOIN events ON recipient_id = :recipient_id AND events.seq = found.seq
""")


async def before(tx: Tx, recipient_id: uuid.UUID, since: datetime, retention: timedelta) -> Place:
    """Return the place after which to read for what has happened since a time.

    It begins with the first event of a change that began then or later. Raises CursorExpired when the journal need not
    reach back so far, and does not begin with its very first event.
    """
    bound = {"recipient_id": recipient_id, "since": since, "retention": retention}
    found = (await tx.execute(_BEFORE, bound)).one()
    if found.seq and not found.is_kept:
        raise problems.CursorExpired
    return place(found.seq, found.id)
