"""`Idempotency-Key`: a client may repeat a creating request without creating twice.

The transaction that creates (T1) claims the key and stores the answer if it has one, so a key exists exactly when its
result exists. A repetition of an answered key gets that answer. A repetition of an unanswered key (the server died in
between) runs again and finds its own results. `docs/protocol.md` lists the requests that take a key.
"""

import hashlib
import uuid
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

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
    """One request under a key: its caller, and a hash of its content."""

    user_id: uuid.UUID
    key: str
    request_hash: bytes

    def of(self, *more: str | bytes | None) -> Self:
        """Return it with more content in the hash, such as the fingerprint of a streamed body."""
        digest = hashlib.sha256(self.request_hash)
        for part in more:
            value = b"" if part is None else part.encode() if isinstance(part, str) else part
            digest.update(len(value).to_bytes(8, "big") + value)
        return replace(self, request_hash=digest.digest())

    def part(self, part_id: uuid.UUID) -> Self:
        """Return one part of the request, which has a transaction and an answer of its own.

        No key of a client has a blank.
        """
        return replace(self, key=f"{self.key} {part_id}")


class _ClaimedKey(NamedTuple):
    request_hash: bytes
    status: int | None
    answer: bytes | None
    """None until the request is answered; then `status` is set, too."""


_FIND = text("SELECT request_hash, status, answer FROM idempotency_keys WHERE user_id = :user_id AND key = :key")


async def require_unanswered(db: Db, once: Once) -> None:
    """Check that the key has no answer yet. Raises Replayed, IdempotencyMismatch.

    A repetition gets its answer even after later changes of the subject.
    """
    async with db.read() as tx:
        claimed = await _find_key(tx, once)
    if claimed is not None:
        _require_same_unanswered(claimed, once)


async def is_answered(tx: Tx, once: Once | None) -> bool:
    """Tell whether the key has an answer, so that the request needs no quota.

    For streamed bodies: `claim_key` compares the request once its whole body is hashed (`Once.of`).
    """
    claimed = await _find_key(tx, once) if once is not None else None
    return claimed is not None and claimed.answer is not None


async def _find_key(tx: Tx, once: Once) -> _ClaimedKey | None:
    row = (await tx.execute(_FIND, {"user_id": once.user_id, "key": once.key})).one_or_none()
    return None if row is None else _ClaimedKey(*row)


def _require_same_unanswered(claimed: _ClaimedKey, once: Once) -> None:
    if claimed.request_hash != once.request_hash:
        raise problems.IdempotencyMismatch
    if claimed.answer is not None and claimed.status is not None:
        raise Replayed(claimed.status, claimed.answer)


_CLAIM = text("""
    INSERT INTO idempotency_keys (user_id, key, request_hash) VALUES (:user_id, :key, :request_hash)
    ON CONFLICT (user_id, key) DO UPDATE SET key = excluded.key
    RETURNING request_hash, status, answer
""")
"""The update changes nothing: it waits for a transaction that claims the same key, and returns the row it wrote."""


async def claim_key(tx: Tx, once: Once | None) -> None:
    """Claim the key for this transaction. Does nothing without a key.

    Raises Replayed when the key has an answer, IdempotencyMismatch when it belongs to another request.
    Transaction: joins tx, after the owner's lock.
    """
    if once is None:
        return
    values = {"user_id": once.user_id, "key": once.key, "request_hash": once.request_hash}
    _require_same_unanswered(_ClaimedKey(*(await tx.execute(_CLAIM, values)).one()), once)


_KEEP = text("""
    UPDATE idempotency_keys SET status = :status, answer = :answer
    WHERE user_id = :user_id AND key = :key AND request_hash = :request_hash
""")


async def keep_answer(tx: Tx, once: Once | None, status: int, answer: BaseModel) -> None:
    """Store the answer for repetitions. Does nothing without a key. Transaction: joins tx."""
    if once is None:
        return
    values = {"user_id": once.user_id, "key": once.key, "request_hash": once.request_hash}
    await tx.execute(_KEEP, values | {"status": status, "answer": answer.model_dump_json().encode()})


async def record_answer(db: Db, once: Once | None, status: int, answer: BaseModel) -> None:
    """Store the answer of a request that took several transactions. Does nothing without a key."""
    if once is not None:
        async with db.begin() as tx:
            await keep_answer(tx, once, status, answer)
