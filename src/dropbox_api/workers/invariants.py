"""The invariants of the data, checked against a real database and its bucket: `dropbox-api doctor --check`.

Run it while the server is idle. Database and bucket are not read at one instant, so during changes a single violation
may be false. `docs/data.md` explains the invariants.
"""

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select, text

from dropbox_api.core import thumbnails
from dropbox_api.core.fingerprint import to_base64
from dropbox_api.db import Db
from dropbox_api.files.blobs import IS_REFERENCED_SQL
from dropbox_api.models import Blob, Thumbnail
from dropbox_api.storage.object_store import ObjectNotFound, ObjectStore
from dropbox_api.workers.thumbnail_objects import find_lost

HEAD_CONCURRENCY = 32
STUCK_S = 3600
"""A change or delivery that waits longer is stuck, or no worker runs."""


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
        # A session under a link reserves what it may send at once, others reserve their size.
        """SELECT email, reserved_bytes AS says, counted FROM (
               SELECT u.email, u.reserved_bytes,
                   coalesce(sum(coalesce(p.reserved_bytes, p.size_bytes)), 0) + (
                   SELECT coalesce(sum(c.reserved_bytes), 0) FROM copies c WHERE c.owner_id = u.id) AS counted
               FROM users u
               LEFT JOIN uploads p ON p.owner_id = u.id AND p.state IN ('creating', 'active', 'completing')
               GROUP BY u.id
           ) owner WHERE reserved_bytes <> counted""",
    ),
    "I4 used nodes": (
        "I4",
        """SELECT u.email, u.used_nodes AS says, count(n.id) AS counted FROM users u
           LEFT JOIN nodes n ON n.owner_id = u.id AND n.parent_id IS NOT NULL
           GROUP BY u.id HAVING u.used_nodes <> count(n.id)""",
    ),
    "I4 reserved nodes": (
        "I4",
        """SELECT email, reserved_nodes AS says, counted FROM (
               SELECT u.email, u.reserved_nodes, count(d.id) + (
                   SELECT coalesce(sum(c.reserved_nodes), 0) FROM copies c WHERE c.owner_id = u.id) AS counted
               FROM users u
               LEFT JOIN uploads p ON p.owner_id = u.id AND p.state IN ('creating', 'active', 'completing')
               LEFT JOIN upload_destinations d ON d.upload_id = p.id AND d.file_id IS NULL
               GROUP BY u.id
           ) owner WHERE reserved_nodes <> counted""",
    ),
    "I4 ended copy that still reserves": (
        "I4",
        "SELECT id, state FROM copies WHERE state <> 'running' AND (reserved_bytes <> 0 OR reserved_nodes <> 0)",
    ),
    "I5 gaps in a journal": (
        "I5",
        # Retention deletes the beginning of a journal, or all of it.
        """SELECT u.email, u.journal_seq AS says, count(e.seq) AS events, max(e.seq) AS newest FROM users u
           JOIN events e ON e.recipient_id = u.id
           GROUP BY u.id HAVING u.journal_seq <> max(e.seq) OR count(e.seq) <> max(e.seq) - min(e.seq) + 1""",
    ),
    "I5 outbox out of order": (
        "I5",
        # Numbers are those of the owner's journal. Only a parked change is overtaken by later ones of its owner.
        """SELECT o.id, o.aggregateid AS owner_id, o.seq FROM outbox o LEFT JOIN users u ON u.id = o.aggregateid
           WHERE u.id IS NULL OR o.seq > u.journal_seq
           UNION ALL
           SELECT later.id, later.aggregateid, later.seq FROM outbox later
           JOIN outbox sooner ON sooner.aggregateid = later.aggregateid AND sooner.seq <= later.seq
           WHERE sooner.id <> later.id AND (sooner.seq = later.seq OR (
               sooner.fanned_at IS NULL AND sooner.parked_at IS NULL AND later.fanned_at IS NOT NULL))""",
    ),
    "I12 change that is neither relayed nor parked": (
        "I12",
        f"""SELECT id, created_at, attempts FROM outbox
           WHERE parked_at IS NULL AND created_at < now() - interval '{STUCK_S} seconds'""",
    ),
    "I12 delivery that is overdue": (
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
    "I5 node without an event of its creation": (
        "I5",
        """SELECT n.id FROM nodes n JOIN events first ON first.recipient_id = n.owner_id AND first.seq = 1
           WHERE n.parent_id IS NOT NULL AND NOT EXISTS (
               SELECT FROM events e WHERE e.recipient_id = n.owner_id AND e.node_id = n.id AND e.kind = 'file.created'
           )""",
    ),
    "I5 replay differs from the tree": (
        "I5",
        # A node below a deleted folder has neither an event nor a mark of its own.
        """SELECT n.id, last.kind, n.trashed_at, n.purged_at FROM nodes n
           JOIN events first ON first.recipient_id = n.owner_id AND first.seq = 1 LEFT JOIN (
               SELECT DISTINCT ON (recipient_id, node_id) recipient_id, node_id, kind FROM events
               WHERE kind IN ('file.created', 'file.trashed', 'file.restored', 'file.deleted')
               ORDER BY recipient_id, node_id, seq DESC
           ) last ON last.recipient_id = n.owner_id AND last.node_id = n.id
           WHERE n.parent_id IS NOT NULL AND CASE
               WHEN n.purged_at IS NOT NULL THEN last.kind = 'file.deleted'
               WHEN n.trashed_at IS NOT NULL THEN last.kind = 'file.trashed'
               ELSE last.kind IN ('file.created', 'file.restored')
           END IS NOT TRUE""",
    ),
    "I13 deleted account that still has something": (
        "I13",
        """SELECT u.id FROM users u WHERE u.deleted_at IS NOT NULL AND (
               used_bytes <> 0 OR used_nodes <> 0 OR reserved_bytes <> 0 OR password_hash IS NOT NULL
               OR email LIKE '%@%'
               OR EXISTS (SELECT FROM sessions WHERE user_id = u.id)
               OR EXISTS (SELECT FROM api_tokens WHERE user_id = u.id)
               OR EXISTS (SELECT FROM grants WHERE owner_id = u.id OR grantee_id = u.id)
               OR EXISTS (SELECT FROM links WHERE owner_id = u.id) OR EXISTS (SELECT FROM webhooks WHERE user_id = u.id)
               OR EXISTS (SELECT FROM events WHERE recipient_id = u.id))""",
    ),
    "I13 account in deletion that still gives access": (
        "I13",
        """SELECT u.id FROM users u WHERE u.purge_at IS NOT NULL AND (
               EXISTS (SELECT FROM grants WHERE owner_id = u.id)
               OR EXISTS (SELECT FROM webhooks WHERE user_id = u.id)
               OR EXISTS (SELECT FROM api_tokens WHERE user_id = u.id AND revoked_at IS NULL))""",
    ),
    "I6 completed without content": (
        "I6",
        # Content without a destination, or purged since, is collected; the session stays without a blob.
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
    "I6 chunk that is being reused without a record of it, or the reverse": (
        "I6",
        """SELECT c.upload_id, c.number, c.state FROM uploads p JOIN upload_chunks c ON c.upload_id = p.id
           LEFT JOIN chunk_reuses r ON r.upload_id = c.upload_id AND r.number = c.number
           WHERE p.state IN ('creating', 'active', 'completing')
             AND (c.state = 'reusing') <> (r.upload_id IS NOT NULL)
           UNION ALL
           SELECT r.upload_id, r.number, p.state FROM chunk_reuses r JOIN uploads p ON p.id = r.upload_id
           WHERE p.state NOT IN ('creating', 'active', 'completing')""",
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
    "I3 unreferenced content that is not collected": (
        "I3",
        f"""SELECT id, content_status FROM blobs
           WHERE content_status <> 'deleting' AND unreferenced_at IS NULL AND NOT {IS_REFERENCED_SQL}""",
    ),
    "I2 manifest does not cover its blob": (
        "I2",
        """SELECT b.id FROM blobs b LEFT JOIN blob_chunks c ON c.blob_id = b.id GROUP BY b.id
           HAVING coalesce(sum(c.size_bytes), -1) <> b.size_bytes OR bool_or(c.sha256 IS NULL)""",
    ),
    "I3 verified content whose thumbnails are neither made nor due": (
        "I3",
        """SELECT b.id, t.state FROM blobs b LEFT JOIN thumbnails t ON t.blob_id = b.id
           WHERE b.content_status = 'verified' AND b.thumbnail_due_at IS NULL
             AND (t.blob_id IS NULL OR t.state = 'making')""",
    ),
    "I7 node without a parent": (
        "I7",
        """SELECT n.id FROM nodes n LEFT JOIN nodes up ON up.id = n.parent_id
           WHERE n.parent_id IS NOT NULL
             AND (up.id IS NULL OR up.kind <> 'folder' OR up.owner_id <> n.owner_id)""",
    ),
    "I7 purged node outside the trash": (
        "I7",
        "SELECT id FROM nodes WHERE purged_at IS NOT NULL AND (trashed_at IS NULL OR parent_id IS NULL)",
    ),
    "I7 size differs from that of the head": (
        "I7",
        """SELECT n.id, n.size_bytes, r.size_bytes AS head FROM nodes n
           LEFT JOIN revisions r ON r.id = n.head_revision_id
           WHERE n.size_bytes <> coalesce(r.size_bytes, 0)""",
    ),
    "I7 superseded head, or older revision that is not superseded": (
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
    "I7 node with a tombstone": (
        "I7",
        "SELECT t.node_id, t.owner_id, t.deleted_at FROM tombstones t JOIN nodes n ON n.id = t.node_id",
    ),
    "I7 cycle": (
        "I7",
        """WITH RECURSIVE down AS (
               SELECT id FROM nodes WHERE parent_id IS NULL
               UNION ALL SELECT n.id FROM nodes n JOIN down ON n.parent_id = down.id
           ) SELECT id FROM nodes EXCEPT SELECT id FROM down""",
    ),
}


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """A blob that must have an object."""

    id: uuid.UUID
    storage_key: str
    size_bytes: int
    composite_digest: str | None
    fingerprint: bytes


_STORED_BLOB = (Blob.id, Blob.storage_key, Blob.size_bytes, Blob.composite_digest, Blob.fingerprint)


async def find_violations(db: Db, store: ObjectStore) -> list[Violation]:
    """Return the violations of I2 (by a HEAD of every object), I3 to I7, and I12. Reads only."""
    violations: list[Violation] = []
    async with db.read() as tx:
        for title, (invariant, query) in _QUERIES.items():
            for row in (await tx.execute(text(query))).mappings():
                values = ", ".join(f"{key}={value}" for key, value in row.items())
                violations.append(Violation(invariant, f"{title}: {values}"))
        stored = select(*_STORED_BLOB).where(Blob.content_status.not_in(("deleting", "damaged")))
        blobs = [StoredBlob(*row) for row in await tx.execute(stored)]
        ready = select(Thumbnail.blob_id, Thumbnail.version).where(Thumbnail.state == "ready")
        made = [(row.blob_id, row.version) for row in await tx.execute(ready)]
    violations += [Violation("I2", f"blob {blob_id} has lost a thumbnail") for blob_id in await find_lost(store, made)]
    return violations + await _check_objects(store, blobs) + await _find_unknown_objects(db, store)


async def _check_objects(store: ObjectStore, blobs: Sequence[StoredBlob]) -> list[Violation]:
    """I2: every blob has its object."""
    slots = asyncio.Semaphore(HEAD_CONCURRENCY)

    async def check(blob: StoredBlob) -> Violation | None:
        async with slots:
            return await _check_object(store, blob)

    return [violation for violation in await asyncio.gather(*map(check, blobs)) if violation]


async def _check_object(store: ObjectStore, blob: StoredBlob) -> Violation | None:
    try:
        stored = await store.head(blob.storage_key)
    except ObjectNotFound:
        return Violation("I2", f"blob {blob.id} has no object")
    expected = blob.composite_digest or to_base64(blob.fingerprint)
    allowed = {None, expected, expected.partition("-")[0]}
    if stored.size_bytes != blob.size_bytes or stored.checksum_sha256 not in allowed:
        other = f"{stored.size_bytes} bytes, {stored.checksum_sha256}"
        return Violation("I2", f"blob {blob.id} has another object: {other}")
    return None


_IS_KNOWN = text("""
    SELECT 1 FROM uploads WHERE storage_key = :key UNION ALL SELECT 1 FROM blobs WHERE storage_key = :key
    UNION ALL SELECT 1 FROM thumbnails WHERE blob_id = CAST(:blob_id AS uuid)
""")


async def _find_unknown_objects(db: Db, store: ObjectStore) -> list[Violation]:
    """I3, as far as one listing can check it: every object's key belongs to a blob or to an upload, live or ended.

    The blob alone counts for the new object of a repaired blob, which has no upload.
    """
    violations: list[Violation] = []
    for prefix in ("blobs/", thumbnails.PREFIX):
        async for item in store.list_objects(prefix):
            derived_from = thumbnails.parse_key(item.key)
            bound = {"key": item.key, "blob_id": derived_from and derived_from[0]}
            async with db.read() as tx:
                known = await tx.execute(_IS_KNOWN, bound)
                if known.first() is None:
                    violations.append(Violation("I3", f"object {item.key} belongs to no session and no content"))
    return violations
