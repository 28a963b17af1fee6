"""The journal: the events of one recipient, numbered without gaps in commit order.

The counter is a column of the recipient's `users` row, which every change locks first. The change that gets number n
commits after the one that got n-1, so a reader that has seen n never meets a smaller number later (ADR 0007). The same
statement writes the outbox with the other recipients: users with access to the node before or after the change. The
change's own transaction decides the recipients; the relay only copies.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple, Self

import orjson
from sqlalchemy import text

from dropbox_api import access, problems
from dropbox_api.db import Tx, new_id, wake_readers
from dropbox_api.plumbing import request_source

EventKind = Literal[
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
ActorKind = Literal["account", "link", "server"]
"""Who made a change: an account, the bearer of a link, or the server by itself."""
REMOVALS: frozenset[EventKind] = frozenset({"file.moved", "file.trashed", "file.deleted", "share.revoked"})
"""The only kinds sent to recipients without access to the node."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one node. `payload` adds what the node itself does not show."""

    kind: EventKind
    node_id: uuid.UUID
    payload: dict[str, Any] = field(default_factory=dict)
    others: frozenset[uuid.UUID] = frozenset()
    """Recipients besides the users with access now: users whose access ends or begins with this change."""


_CHANGED = """change JOIN nodes ON nodes.id = change.node_id
        WHERE change.kind LIKE 'file.%'
            AND EXISTS (SELECT FROM grants WHERE owner_id = :owner_id AND grantee_id IS NOT NULL)"""
_ACTOR = "CAST(:actor_kind AS text), CAST(:actor_id AS uuid), CAST(:actor_token AS text)"
_APPEND = text(f"""
    WITH RECURSIVE counter AS (
        UPDATE users SET journal_seq = journal_seq + CAST(:count AS bigint) WHERE id = :owner_id
        RETURNING journal_seq - CAST(:count AS bigint) AS base
    ), change AS (
        SELECT * FROM unnest(
            CAST(:ids AS uuid[]), CAST(:kinds AS text[]), CAST(:node_ids AS uuid[]), CAST(:payloads AS text[])
        ) WITH ORDINALITY AS change(id, kind, node_id, payload, place)
    ), other AS (
        SELECT * FROM unnest(CAST(:other_places AS bigint[]), CAST(:other_ids AS uuid[])) AS other(place, user_id)
    ), {access.ancestors_cte(_CHANGED, start="change.place")}, recipient AS (
        SELECT start AS place, grantee_id AS user_id FROM ancestors JOIN grants ON grants.node_id = ancestors.id
        WHERE grantee_id IS NOT NULL
        UNION SELECT place, user_id FROM other
    ), grouped AS (
        SELECT place, array_agg(user_id ORDER BY user_id) AS user_ids FROM recipient GROUP BY place
    ), journal AS (
        INSERT INTO events (recipient_id, seq, id, kind, owner_id, node_id, payload, actor_kind, actor_id, actor_token)
        SELECT :owner_id, base + place, id, kind, :owner_id, node_id, CAST(payload AS jsonb), {_ACTOR}
        FROM counter, change
    )
    INSERT INTO outbox (
        id, aggregatetype, aggregateid, type, payload, seq, recipients, actor_kind, actor_id, actor_token
    )
    SELECT id, 'file', :owner_id, kind, jsonb_build_object('node_id', node_id) || CAST(payload AS jsonb), base + place,
        coalesce(user_ids, '{{}}'), {_ACTOR}
    FROM counter, change LEFT JOIN grouped USING (place)
""")


async def append_changes(tx: Tx, owner_id: uuid.UUID, changes: Sequence[Change]) -> None:
    """Record changes of one owner's nodes, in order, in the owner's journal and the outbox, with the request's actor.

    Recipients of a `file.` change are the owner, `others`, and all grantees of the node and of the folders above it,
    in the trash as well. Recipients of a `share.` change are the owner and `others`.
    Transaction: joins tx, whose caller holds the owner's row lock.
    """
    if not changes:
        return
    source = request_source.get_source()
    actor_kind: ActorKind = "link" if source.link_id else "account" if source.actor_id else "server"
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
            "actor_kind": actor_kind,
            "actor_id": source.link_id or source.actor_id,
            "actor_token": source.token_name,
        },
    )
    wake_readers(tx, owner_id)


_RECIPIENTS = text(f"""
    WITH RECURSIVE {access.ancestors_cte("nodes WHERE id = :node_id")}
    SELECT DISTINCT grantee_id FROM ancestors JOIN grants ON grants.node_id = ancestors.id WHERE grantee_id IS NOT NULL
""")


async def list_recipients(tx: Tx, node_id: uuid.UUID) -> frozenset[uuid.UUID]:
    """Return the grantees of a node and of the folders above it. Before a move they are its `Change.others`."""
    return frozenset((await tx.execute(_RECIPIENTS, {"node_id": node_id})).scalars())


# Reading

_MARK_BITS = 2**48 - 1
"""The random bits at the end of a UUIDv7."""


class JournalPosition(NamedTuple):
    """How far a journal was read: up to and including event number `seq`; 0 is its beginning.

    A position is valid in one epoch of the data. `mark` detects a restored journal where no new epoch began, and where
    another event may have the number `seq`. It is 0 where that event was deleted.
    """

    seq: int
    mark: int
    epoch: str
    """Empty in cursors from before epochs existed: the first one."""

    @classmethod
    def after(cls, epoch: str, seq: int, event_id: uuid.UUID | None) -> Self:
        """Return the position after an event; None for an event that was deleted."""
        return cls(seq, event_id.int & _MARK_BITS if event_id else 0, epoch)


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One event in the journal of one recipient."""

    epoch: str
    """The epoch in which it was read."""
    seq: int
    id: uuid.UUID
    kind: EventKind
    owner_id: uuid.UUID
    node_id: uuid.UUID
    payload: dict[str, Any]
    created_at: datetime
    actor_kind: ActorKind | None
    """None for an event older than this column."""
    actor_id: uuid.UUID | None
    """The account, or the link."""
    actor_token: str | None
    """Name of the personal token that the account used."""

    @property
    def position(self) -> JournalPosition:
        """The position after this event."""
        return JournalPosition.after(self.epoch, self.seq, self.id)


def _restored() -> problems.CursorExpired:
    detail = (
        "The server's data was restored from a backup: take a new cursor, list everything, then read events from it"
    )
    return problems.CursorExpired(detail, reason="restored")


_ENTRY = "seq, id, kind, owner_id, node_id, payload, created_at, actor_kind, actor_id, actor_token"
"""The columns of `JournalEntry` after its epoch."""
_READ_AFTER = text(f"""
    SELECT users.journal_seq, instance.first_epoch, (SELECT current_data_epoch()) AS epoch, event.*
    FROM users CROSS JOIN instance LEFT JOIN LATERAL (
        SELECT {_ENTRY} FROM events
        WHERE recipient_id = :recipient_id AND seq >= :seq ORDER BY seq LIMIT CAST(:limit AS bigint) + 1
    ) event ON true
    WHERE users.id = :recipient_id ORDER BY event.seq
""")


async def read_after(
    tx: Tx, recipient_id: uuid.UUID, position: JournalPosition, limit: int
) -> tuple[Sequence[JournalEntry], int]:
    """Return the first `limit` events after a position, in order, and the number of the newest event.

    One statement reads both, from one snapshot. Raises CursorExpired when the next event was deleted, or when the
    position is not of this journal: the journal was restored from an older backup.
    """
    bound = {"recipient_id": recipient_id, "seq": position.seq, "limit": limit}
    rows = (await tx.execute(_READ_AFTER, bound)).all()
    newest: int = rows[0].journal_seq
    if (position.epoch or rows[0].first_epoch) != rows[0].epoch or newest < position.seq:
        raise _restored()
    entries = [JournalEntry(*row[2:]) for row in rows if row.seq is not None]
    if entries and entries[0].seq == position.seq:
        if position.mark and entries[0].position.mark != position.mark:
            raise _restored()
        del entries[0]
    if (entries[0].seq - 1 if entries else newest) != position.seq:
        raise problems.CursorExpired(reason="retention")
    return entries[:limit], newest


_READ_BEFORE = text(f"""
    SELECT (SELECT current_data_epoch()) AS epoch, {_ENTRY} FROM events
    WHERE recipient_id = :recipient_id AND seq < CAST(:before AS bigint) AND seq >= CAST(:before AS bigint) - :window
        AND (CAST(:kind AS text) IS NULL OR kind = :kind)
    ORDER BY seq DESC LIMIT CAST(:limit AS bigint)
""")
_BOUNDS = text("""
    SELECT journal_seq, (SELECT seq FROM events WHERE recipient_id = :recipient_id ORDER BY seq LIMIT 1) AS oldest
    FROM users WHERE id = :recipient_id
""")
READ_AT_ONCE = 10_000
"""Entries that one page backwards examines at most: kinds have no index."""


async def read_before(
    tx: Tx, recipient_id: uuid.UUID, before: int | None, kind: EventKind | None, limit: int
) -> tuple[Sequence[JournalEntry], int | None]:
    """Return the last `limit` events before event number `before` (None: the newest), newest first.

    `kind` None: all kinds. Also return where the next page begins, None at the journal's beginning. A page may be short
    or empty before it: it examines at most `READ_AT_ONCE` events.
    """
    bounds = (await tx.execute(_BOUNDS, {"recipient_id": recipient_id})).one()
    start = bounds.journal_seq + 1 if before is None else before
    bound = {"recipient_id": recipient_id, "before": start, "kind": kind, "window": READ_AT_ONCE}
    rows = await tx.execute(_READ_BEFORE, bound | {"limit": limit})
    entries = [JournalEntry(*row) for row in rows]
    after = entries[-1].seq if len(entries) == limit else start - READ_AT_ONCE
    return entries, after if bounds.oldest is not None and after > bounds.oldest else None


_NEWEST = text("""
    SELECT (SELECT current_data_epoch()) AS epoch, journal_seq, events.id
    FROM users LEFT JOIN events ON recipient_id = :recipient_id AND seq = journal_seq
    WHERE users.id = :recipient_id
""")


async def get_newest_position(tx: Tx, recipient_id: uuid.UUID) -> JournalPosition:
    """Return the position after the newest event of a journal."""
    newest = (await tx.execute(_NEWEST, {"recipient_id": recipient_id})).one()
    return JournalPosition.after(newest.epoch, newest.journal_seq, newest.id)


_BEFORE_TIME = text("""
    WITH before AS (
        SELECT coalesce(
            (SELECT seq - 1 FROM events WHERE recipient_id = :recipient_id AND created_at >= :since
                ORDER BY seq LIMIT 1),
            (SELECT journal_seq FROM users WHERE id = :recipient_id)
        ) AS seq
    )
    SELECT (SELECT current_data_epoch()) AS epoch, before.seq, events.id,
        CAST(:since AS timestamptz) >= now() - CAST(:retention AS interval) AS is_retained
    FROM before LEFT JOIN events ON recipient_id = :recipient_id AND events.seq = before.seq
""")


async def get_position_at(tx: Tx, recipient_id: uuid.UUID, since: datetime, retention: timedelta) -> JournalPosition:
    """Return the position before the first event whose transaction began at `since` or later.

    Raises CursorExpired when `since` is older than the retention and the journal's first event was deleted.
    """
    bound = {"recipient_id": recipient_id, "since": since, "retention": retention}
    before = (await tx.execute(_BEFORE_TIME, bound)).one()
    if before.seq and not before.is_retained:
        raise problems.CursorExpired(reason="retention")
    return JournalPosition.after(before.epoch, before.seq, before.id)
