"""What must always hold, asked of a real database and its bucket: `dropbox-api doctor --check`.

Run while nothing changes, or take a single finding with a grain of salt: the two stores are not read at one instant.
The invariants are explained in `docs/data.md`.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, text

from dropbox_api.core.fingerprint import to_base64
from dropbox_api.db import Db
from dropbox_api.models import Blob
from dropbox_api.storage.object_store import ObjectNotFound, ObjectStore

HEADS_AT_ONCE = 32
STUCK_S = 3600
"""Whatever waits longer to be told of was forgotten, or no worker runs."""


@dataclass(frozen=True, slots=True)
class Violation:
    invariant: str
    detail: str


_QUERIES: dict[str, tuple[str, str]] = {
    "I4 used bytes": (
        "I4",
        """SELECT u.email, u.used_bytes AS says, coalesce(sum(b.size_bytes), 0) AS counted FROM users u
           LEFT JOIN blobs b ON b.owner_id = u.id AND b.content_status <> 'deleting'
           GROUP BY u.id HAVING u.used_bytes <> coalesce(sum(b.size_bytes), 0)""",
    ),
    "I4 reserved bytes": (
        "I4",
        """SELECT u.email, u.reserved_bytes AS says, coalesce(sum(p.size_bytes), 0) AS counted FROM users u
           LEFT JOIN uploads p ON p.owner_id = u.id AND p.state IN ('creating', 'active', 'completing')
           GROUP BY u.id HAVING u.reserved_bytes <> coalesce(sum(p.size_bytes), 0)""",
    ),
    "I4 used nodes": (
        "I4",
        """SELECT u.email, u.used_nodes AS says, count(n.id) AS counted FROM users u
           LEFT JOIN nodes n ON n.owner_id = u.id AND n.parent_id IS NOT NULL
           GROUP BY u.id HAVING u.used_nodes <> count(n.id)""",
    ),
    "I4 reserved nodes": (
        "I4",
        """SELECT u.email, u.reserved_nodes AS says, count(d.id) AS counted FROM users u
           LEFT JOIN uploads p ON p.owner_id = u.id AND p.state IN ('creating', 'active', 'completing')
           LEFT JOIN upload_destinations d ON d.upload_id = p.id
           GROUP BY u.id HAVING u.reserved_nodes <> count(d.id)""",
    ),
    "I5 gaps in a journal": (
        "I5",
        # Its beginning may have been old enough to be deleted, or all of it.
        """SELECT u.email, u.journal_seq AS says, count(e.seq) AS events, max(e.seq) AS newest FROM users u
           JOIN events e ON e.recipient_id = u.id
           GROUP BY u.id HAVING u.journal_seq <> max(e.seq) OR count(e.seq) <> max(e.seq) - min(e.seq) + 1""",
    ),
    "I5 outbox out of order": (
        "I5",
        # Its numbers are those of the owner's journal; of one owner nothing overtakes but what was put aside.
        """SELECT o.id, o.aggregateid AS owner_id, o.seq FROM outbox o LEFT JOIN users u ON u.id = o.aggregateid
           WHERE u.id IS NULL OR o.seq > u.journal_seq
           UNION ALL
           SELECT later.id, later.aggregateid, later.seq FROM outbox later
           JOIN outbox sooner ON sooner.aggregateid = later.aggregateid AND sooner.seq <= later.seq
           WHERE sooner.id <> later.id AND (sooner.seq = later.seq OR (
               sooner.fanned_at IS NULL AND sooner.parked_at IS NULL AND later.fanned_at IS NOT NULL))""",
    ),
    "I12 change that nobody is told of, and that is not put aside": (
        "I12",
        f"""SELECT id, created_at, attempts FROM outbox
           WHERE parked_at IS NULL AND created_at < now() - interval '{STUCK_S} seconds'""",
    ),
    "I12 delivery that was due long ago": (
        "I12",
        f"""SELECT d.id, d.next_attempt_at FROM deliveries d JOIN webhooks w ON w.id = d.webhook_id
           JOIN users u ON u.id = w.user_id
           WHERE d.state = 'pending' AND w.disabled_at IS NULL AND u.disabled_at IS NULL
             AND d.next_attempt_at < now() - interval '{STUCK_S} seconds'""",
    ),
    "I12 delivery whose state and time differ": (
        "I12",
        "SELECT id, state FROM deliveries WHERE (state = 'delivered') <> (delivered_at IS NOT NULL)",
    ),
    "I5 node that no event made": (
        "I5",
        """SELECT n.id FROM nodes n JOIN events first ON first.recipient_id = n.owner_id AND first.seq = 1
           WHERE n.parent_id IS NOT NULL AND NOT EXISTS (
               SELECT FROM events e WHERE e.recipient_id = n.owner_id AND e.node_id = n.id AND e.kind = 'file.created'
           )""",
    ),
    "I5 replay differs from the tree": (
        "I5",
        # What is below something deleted has no event of its own, and no mark of its own.
        """SELECT n.id, told.kind, n.trashed_at, n.purged_at FROM nodes n
           JOIN events first ON first.recipient_id = n.owner_id AND first.seq = 1 LEFT JOIN (
               SELECT DISTINCT ON (recipient_id, node_id) recipient_id, node_id, kind FROM events
               WHERE kind IN ('file.created', 'file.trashed', 'file.restored', 'file.deleted')
               ORDER BY recipient_id, node_id, seq DESC
           ) told ON told.recipient_id = n.owner_id AND told.node_id = n.id
           WHERE n.parent_id IS NOT NULL AND CASE
               WHEN n.purged_at IS NOT NULL THEN told.kind = 'file.deleted'
               WHEN n.trashed_at IS NOT NULL THEN told.kind = 'file.trashed'
               ELSE told.kind IN ('file.created', 'file.restored')
           END IS NOT TRUE""",
    ),
    "I6 completed without content": (
        "I6",
        # Content that no destination took, or that was purged since, is collected: the session remains without it.
        """SELECT p.id FROM uploads p WHERE p.state = 'completed' AND (p.ended_at IS NULL OR (
               p.blob_id IS NULL AND EXISTS (
                   SELECT FROM upload_destinations d JOIN revisions r ON r.upload_destination_id = d.id
                   WHERE d.upload_id = p.id
               )))""",
    ),
    "I6 ended sessions with a lease or live ones with an end": (
        "I6",
        """SELECT id, state FROM uploads
           WHERE (state IN ('creating', 'active', 'completing')) = (ended_at IS NOT NULL)""",
    ),
    "I6 two revisions of one destination": (
        "I6",
        """SELECT upload_destination_id FROM revisions WHERE upload_destination_id IS NOT NULL
           GROUP BY 1 HAVING count(*) > 1""",
    ),
    "I6 undecided destination of a completed session": (
        "I6",
        """SELECT d.id FROM upload_destinations d JOIN uploads p ON p.id = d.upload_id
           WHERE p.state = 'completed' AND d.revision_id IS NULL AND d.problem IS NULL""",
    ),
    "I2 revision without content": (
        "I2",
        """SELECT r.id FROM revisions r JOIN blobs b ON b.id = r.blob_id
           WHERE b.content_status = 'deleting' OR b.size_bytes <> r.size_bytes""",
    ),
    "I3 content that nothing needs and nobody collects": (
        "I3",
        """SELECT b.id, b.content_status FROM blobs b
           WHERE b.content_status <> 'deleting' AND b.unreferenced_at IS NULL
             AND NOT EXISTS (SELECT FROM revisions r WHERE r.blob_id = b.id)""",
    ),
    "I2 manifest does not cover its blob": (
        "I2",
        """SELECT b.id FROM blobs b LEFT JOIN blob_chunks c ON c.blob_id = b.id GROUP BY b.id
           HAVING coalesce(sum(c.size_bytes), -1) <> b.size_bytes OR bool_or(c.sha256 IS NULL)""",
    ),
    "I7 node without a parent": (
        "I7",
        """SELECT n.id FROM nodes n LEFT JOIN nodes up ON up.id = n.parent_id
           WHERE n.parent_id IS NOT NULL
             AND (up.id IS NULL OR up.kind <> 'folder' OR up.owner_id <> n.owner_id)""",
    ),
    "I7 deleted for good, but not in the trash": (
        "I7",
        "SELECT id FROM nodes WHERE purged_at IS NOT NULL AND (trashed_at IS NULL OR parent_id IS NULL)",
    ),
    "I7 size differs from that of the head": (
        "I7",
        """SELECT n.id, n.size_bytes, r.size_bytes AS head FROM nodes n
           LEFT JOIN revisions r ON r.id = n.head_revision_id
           WHERE n.size_bytes <> coalesce(r.size_bytes, 0)""",
    ),
    "I7 replaced head, or older revision that was never replaced": (
        "I7",
        """SELECT r.id, r.number, r.superseded_at FROM revisions r JOIN nodes n ON n.id = r.node_id
           WHERE (r.superseded_at IS NULL) <> (r.id IS NOT DISTINCT FROM n.head_revision_id)""",
    ),
    "I7 revision that is newer than the head": (
        "I7",
        """SELECT r.id, r.number, head.number AS head FROM revisions r JOIN nodes n ON n.id = r.node_id
           JOIN revisions head ON head.id = n.head_revision_id WHERE r.number > head.number""",
    ),
    "I7 file without a head": (
        "I7",
        """SELECT n.id FROM nodes n LEFT JOIN revisions r ON r.id = n.head_revision_id AND r.node_id = n.id
           WHERE n.kind = 'file' AND r.id IS NULL""",
    ),
    "I7 cycle": (
        "I7",
        """WITH RECURSIVE down AS (
               SELECT id FROM nodes WHERE parent_id IS NULL
               UNION ALL SELECT n.id FROM nodes n JOIN down ON n.parent_id = down.id
           ) SELECT id FROM nodes EXCEPT SELECT id FROM down""",
    ),
}


async def violations(db: Db, store: ObjectStore) -> list[Violation]:
    """Return everything that does not hold: I2 (by HEAD of every object), I3 to I7, I12. Reads only."""
    found: list[Violation] = []
    async with db.read() as tx:
        for title, (invariant, query) in _QUERIES.items():
            for row in (await tx.execute(text(query))).mappings():
                values = ", ".join(f"{key}={value}" for key, value in row.items())
                found.append(Violation(invariant, f"{title}: {values}"))
        columns = (Blob.id, Blob.storage_key, Blob.size_bytes, Blob.composite_digest, Blob.fingerprint)
        blobs = (await tx.execute(select(*columns).where(Blob.content_status.not_in(("deleting", "damaged"))))).all()
    gate = asyncio.Semaphore(HEADS_AT_ONCE)

    async def look(blob: Any) -> Violation | None:
        async with gate:
            return await _look(store, blob)

    found += [violation for violation in await asyncio.gather(*map(look, blobs)) if violation]
    return found + await _unreferenced(db, store)


async def _look(store: ObjectStore, blob: Any) -> Violation | None:
    try:
        stored = await store.head(blob.storage_key)
    except ObjectNotFound:
        return Violation("I2", f"blob {blob.id} has no object")
    expected = blob.composite_digest or to_base64(blob.fingerprint)
    if stored.size_bytes != blob.size_bytes or stored.checksum_sha256 not in {
        None,
        expected,
        expected.partition("-")[0],
    }:
        return Violation(
            "I2", f"blob {blob.id} has another object: {stored.size_bytes} bytes, {stored.checksum_sha256}"
        )
    return None


_IS_KNOWN = text("""
    SELECT 1 FROM uploads WHERE storage_key = :key UNION ALL SELECT 1 FROM blobs WHERE storage_key = :key
""")


async def _unreferenced(db: Db, store: ObjectStore) -> list[Violation]:
    """I3, the part that a single look can tell: an object under a key that no upload and no blob ever had.

    What took the place of a damaged object has no session.
    """
    found: list[Violation] = []
    async for item in store.list_objects("blobs/"):
        async with db.read() as tx:
            known = await tx.execute(_IS_KNOWN, {"key": item.key})
            if known.first() is None:
                found.append(Violation("I3", f"object {item.key} belongs to no session"))
    return found
