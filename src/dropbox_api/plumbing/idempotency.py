"""`Idempotency-Key`: a creating request that may be repeated without creating twice.

The key is claimed in the transaction that creates (T1), and the answer is kept, if it can be, in the same one; so
there is a key exactly when there is what it made. A repetition whose key has an answer gets that answer; one whose key
has none yet (the server died in between) runs again, and what it finds is its own doing. `docs/protocol.md` says which
requests take a key.
"""

import hashlib
import uuid
from dataclasses import dataclass, replace
from typing import Any, Self

from pydantic import BaseModel
from sqlalchemy import text

from dropbox_api import problems
from dropbox_api.db import Db, Tx

MAX_KEY_CHARS = 255


class Replayed(Exception):
    """The request was answered before: `app` sends that answer again."""

    def __init__(self, status: int, answer: bytes) -> None:
        super().__init__(status)
        self.status = status
        self.answer = answer


@dataclass(frozen=True, slots=True)
class Once:
    """One request under a key: whose, and what was asked."""

    user_id: uuid.UUID
    key: str
    request_hash: bytes

    def of(self, *more: str | bytes | None) -> Self:
        """Return it with more of what was asked, such as the fingerprint of a body that was streamed."""
        digest = hashlib.sha256(self.request_hash)
        for part in more:
            value = b"" if part is None else part.encode() if isinstance(part, str) else part
            digest.update(len(value).to_bytes(8, "big") + value)
        return replace(self, request_hash=digest.digest())


_FIND = text("SELECT request_hash, status, answer FROM idempotency_keys WHERE user_id = :user_id AND key = :key")


async def require_unanswered(db: Db, once: Once) -> None:
    """See whether the request was answered before: whatever became of its subject since, it is answered the same.

    Raises Replayed, IdempotencyMismatch.
    """
    async with db.read() as tx:
        row = await _find(tx, once)
    if row is not None:
        _compare(once, row)


async def is_answered(tx: Tx, once: Once | None) -> bool:
    """Tell whether the key was answered before: what it asks for is done, and needs no room.

    For bodies that are streamed: whether this is that request again is known when all of it was hashed (`Once.of`).
    """
    row = await _find(tx, once) if once is not None else None
    return row is not None and row.answer is not None


async def _find(tx: Tx, once: Once) -> Any:
    return (await tx.execute(_FIND, {"user_id": once.user_id, "key": once.key})).one_or_none()


def _compare(once: Once, row: Any) -> None:
    if row.request_hash != once.request_hash:
        raise problems.IdempotencyMismatch
    if row.answer is not None:
        raise Replayed(row.status, row.answer)


_CLAIM = text("""
    INSERT INTO idempotency_keys (user_id, key, request_hash) VALUES (:user_id, :key, :request_hash)
    ON CONFLICT (user_id, key) DO UPDATE SET key = excluded.key
    RETURNING request_hash, status, answer
""")
"""The update changes nothing: it waits for a transaction that claims the same key, and returns what that one wrote."""


async def claim_key(tx: Tx, once: Once | None) -> None:
    """Note that this transaction does what the key stands for. Does nothing without a key.

    Raises Replayed when it was done and answered, IdempotencyMismatch when the key stands for something else.
    Transaction: joins tx, after the owner's lock.
    """
    if once is None:
        return
    values = {"user_id": once.user_id, "key": once.key, "request_hash": once.request_hash}
    _compare(once, (await tx.execute(_CLAIM, values)).one())


_KEEP = text("""
    UPDATE idempotency_keys SET status = :status, answer = :answer
    WHERE user_id = :user_id AND key = :key AND request_hash = :request_hash
""")


async def keep_answer(tx: Tx, once: Once | None, status: int, answer: BaseModel) -> None:
    """Keep the answer for repetitions. Does nothing without a key. Transaction: joins tx."""
    if once is None:
        return
    values = {"user_id": once.user_id, "key": once.key, "request_hash": once.request_hash}
    await tx.execute(_KEEP, values | {"status": status, "answer": answer.model_dump_json().encode()})


async def record_answer(db: Db, once: Once | None, status: int, body: BaseModel) -> None:
    """Keep the answer of a request that took several transactions. Does nothing without a key."""
    if once is not None:
        async with db.begin() as tx:
            await keep_answer(tx, once, status, body)
