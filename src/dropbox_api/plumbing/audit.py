"""The audit trail: actor, action, file and source, written in the transaction of the change itself."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson
from sqlalchemy import text

from dropbox_api.db import Tx, new_id
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
    "archived",
    "processing-reported",
    "shared",
    "unshared",
    "role-changed",
    "link-created",
    "link-changed",
    "link-revoked",
    "uploaded-by-link",
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
