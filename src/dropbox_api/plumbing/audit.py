"""The audit trail: actor, action, file and source, written in the transaction of the change itself."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import orjson
from sqlalchemy import text

from dropbox_api.db import Tx, first_id_at, new_id
from dropbox_api.plumbing import request_source

Action = Literal[
    "created",
    "replaced",
    "renamed",
    "moved",
    "content-type-changed",
    "time-changed",
    "executable-changed",
    "copied",
    "trashed",
    "restored",
    "purged",
    "revision-restored",
    "revision-pinned",
    "revision-unpinned",
    "content-accepted",
    "downloaded",
    "viewed",
    "archived",
    "processing-reported",
    "shared",
    "unshared",
    "role-changed",
    "link-created",
    "link-changed",
    "link-revoked",
    "uploaded-by-link",
    "upload-token-created",
    "upload-token-revoked",
    "passkey-added",
    "passkey-removed",
    "address-changed",
]


@dataclass(frozen=True, slots=True)
class Entry:
    """One action on one node; `detail` keeps the values that a later reader needs, after further changes."""

    action: Action
    node_id: uuid.UUID
    detail: dict[str, Any] = field(default_factory=dict)


_RECORD = text("""
    INSERT INTO audit_log (id, owner_id, node_id, action, detail, actor_id, address, user_agent, request_id)
    SELECT id, :owner_id, node_id, action, CAST(detail AS jsonb), :actor_id, :address, :user_agent, :request_id
    FROM unnest(
        CAST(:ids AS uuid[]), CAST(:node_ids AS uuid[]), CAST(:actions AS text[]), CAST(:details AS text[])
    ) AS entry(id, node_id, action, detail)
""")


async def record(tx: Tx, owner_id: uuid.UUID, entries: Sequence[Entry]) -> None:
    """Write the entries of the current request for nodes of this owner, in order. Transaction: joins tx."""
    if not entries:
        return
    source = request_source.get_source()
    await tx.execute(
        _RECORD,
        {
            "owner_id": owner_id,
            "actor_id": source.actor_id,
            "address": source.address,
            "user_agent": source.user_agent,
            "request_id": source.request_id,
            "ids": [new_id() for _ in entries],
            "node_ids": [entry.node_id for entry in entries],
            "actions": [entry.action for entry in entries],
            "details": [orjson.dumps(entry.detail).decode() for entry in entries],
        },
    )


VIEW_PERIOD = timedelta(hours=1)
_LOCK_VIEWS = text("SELECT pg_advisory_xact_lock(hashtextextended('views ' || CAST(:node_id AS uuid), 0))")
_HAS_VIEW = text("""
    SELECT EXISTS (
        SELECT FROM audit_log WHERE owner_id = :owner_id AND node_id = :node_id AND id >= :first AND action = 'viewed'
            AND actor_id IS NOT DISTINCT FROM :actor_id AND detail->>'link' IS NOT DISTINCT FROM :link
    )
""")


async def record_view(tx: Tx, owner_id: uuid.UUID, node_id: uuid.UUID, detail: dict[str, str]) -> None:
    """Write that the caller was shown a file, unless an entry of the last hour says so.

    A page asks for a new URL every few minutes, while a film runs for example. Bearers of one link count as one.
    Transaction: joins tx.
    """
    await tx.execute(_LOCK_VIEWS, {"node_id": node_id})  # the next statement sees what concurrent requests wrote
    place = {"owner_id": owner_id, "node_id": node_id, "first": first_id_at(datetime.now(UTC) - VIEW_PERIOD)}
    viewer = {"actor_id": request_source.get_source().actor_id, "link": detail.get("link")}
    if not (await tx.execute(_HAS_VIEW, place | viewer)).scalar_one():
        await record(tx, owner_id, [Entry("viewed", node_id, detail)])
