"""Notifications of the object store, from a queue or by HTTP. They are hints, and the server never trusts them.

A notification names storage keys and S3 upload ids. For those of an active session the server does what it would do
for the session's client: ListParts or HEAD, compared with the plan. Unknown, duplicate, late, out-of-order and forged
notifications change nothing: each costs one index probe, or at most one reconciliation per session and round.

Sources: "Event message structure" in S3's user guide; SeaweedFS 4.48's webhook (`weed scaffold -config=notification`)
and the bodies that it sends.
"""

import asyncio
import contextlib
import contextvars
import logging
import time
import uuid
from collections.abc import Collection, Iterator, Sequence
from datetime import timedelta
from itertools import islice
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

import orjson
from sqlalchemy import ARRAY, Text, any_, func, literal, or_, select, update

from dropbox_api import problems
from dropbox_api.context import Services
from dropbox_api.db import Db
from dropbox_api.models import Upload, UploadChunk
from dropbox_api.plumbing import request_source
from dropbox_api.storage.object_store import StoreError
from dropbox_api.uploads.proof import STORED_STATES
from dropbox_api.uploads.reconcile import reconcile_session
from dropbox_api.uploads.sessions import IS_DIRECT

log = logging.getLogger(__name__)

MAX_NAMES = 1_000
"""Names read from one notification, and names of one round."""

_MAX_PENDING = 10_000
_MAX_NAME_CHARS = 1_024  # of a key in S3
_CONCURRENCY = 4
_ROUND_S = 0.5
_PAUSE_FACTOR = 3
"""The pause after a round, in lengths of the round: listing 9,999 parts takes a third of a second."""
_FINISH_AFTER_S = 60
"""With every part stored, a client that is silent for this long counts as gone."""


def parse_notification(body: bytes | str, bucket: str) -> set[str]:
    """Return the storage keys and S3 upload ids of new content in the bucket that a notification names.

    At most 1,000, printable ASCII as this server's are. None for deletions, tests, other buckets and unknown formats.
    Raises ValueError (not JSON).
    """
    usable = (
        name for name in _read_names(orjson.loads(body), bucket) if name.isascii() and name.isprintable() and name
    )
    return set(islice((name for name in usable if len(name) <= _MAX_NAME_CHARS), MAX_NAMES))


def _read_names(document: Any, bucket: str) -> Iterator[str]:
    match document:
        case {"Type": "Notification", "Message": str(wrapped)}:  # S3's event, delivered by SNS
            with contextlib.suppress(orjson.JSONDecodeError):
                inner = orjson.loads(wrapped)
                if isinstance(inner, dict) and "Records" in inner:
                    yield from _read_names({"Records": inner["Records"]}, bucket)
        case {"Records": list(records)}:
            for record in records:
                match record:
                    case {
                        "eventName": str(event),
                        "s3": {"bucket": {"name": str(where)}, "object": {"key": str(key)}},
                    } if where == bucket and "ObjectCreated:" in event:
                        yield unquote_plus(key)
        case {"event_type": "create" | "update", "key": str(path)} if path.startswith(f"/buckets/{bucket}/"):
            name = path.removeprefix(f"/buckets/{bucket}/")
            match name.split("/"):
                case [".uploads", s3_upload_id, _]:  # .uploads/<S3's upload id>/0001_<uuid>.part
                    yield s3_upload_id
                case [".uploads", *_]:
                    pass
                case _:
                    yield name


_CLIENT_PROBLEMS = (problems.UploadExpired, problems.NotFound, problems.ParentGone)
"""The session has ended, or its destination is gone: the client gets this problem with its next request."""


class NamedSession(NamedTuple):
    """An active session that a notification names."""

    id: uuid.UUID
    uploader_id: uuid.UUID


async def reconcile_named_sessions(services: Services, names: Collection[str]) -> None:
    """Reconcile the active sessions that these storage keys and S3 upload ids belong to.

    The sessions' expiry stays. When every part is stored and the client stays silent, a worker completes the session
    after a minute instead of `uploads.idle_finalise_s`.
    Raises StoreError, Unavailable: after all sessions were tried, for the first one that failed.
    """
    if not names:
        return
    sessions = await _find_sessions(services.db, names)
    slots = asyncio.Semaphore(_CONCURRENCY)

    async def reconcile(session: NamedSession) -> None:
        async with slots:
            with contextlib.suppress(*_CLIENT_PROBLEMS), request_source.act_for(session.uploader_id):
                await reconcile_session(services, session.id)

    outcomes = await asyncio.gather(*map(reconcile, sessions), return_exceptions=True)
    await _expedite_completion(services.db, [session.id for session in sessions])
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome


async def _find_sessions(db: Db, names: Collection[str]) -> Sequence[NamedSession]:
    wanted = any_(literal(list(names), ARRAY(Text)))  # an array, so that the statement is the same for any number
    is_named = or_(Upload.storage_key == wanted, Upload.s3_upload_id == wanted)
    active = select(Upload.id, Upload.uploader_id).where(is_named, Upload.state == "active")
    async with db.read() as tx:
        return [NamedSession(*row) for row in await tx.execute(active.where(~IS_DIRECT))]


async def _expedite_completion(db: Db, upload_ids: Sequence[uuid.UUID]) -> None:
    """Schedule an early check of sessions that lack only their `complete`.

    Once per session: after the first check its backoff applies.
    """
    if not upload_ids:
        return
    is_stored = UploadChunk.state.in_(STORED_STATES)
    missing = select(UploadChunk.number).where(UploadChunk.upload_id == Upload.id, ~is_stored)
    is_complete = update(Upload).where(
        Upload.id.in_(upload_ids),
        Upload.state == "active",
        Upload.fingerprint.is_not(None),
        Upload.checks == 0,
        ~missing.exists(),
    )
    soon = func.now() + timedelta(seconds=_FINISH_AFTER_S)
    async with db.begin() as tx:
        await tx.execute(is_complete.values(next_check_at=func.least(Upload.next_check_at, soon)))


class NotificationReconciler:
    """Reconciles the sessions that notifications name, in rounds: each session once per round.

    Names beyond `_MAX_PENDING` and failed reconciliations are dropped; the session's client asks anyway.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._pending: set[str] = set()
        self._rounds: asyncio.Task[None] | None = None

    def submit(self, names: Collection[str]) -> None:
        """Queue names for the current or the next round. Returns at once."""
        self._pending.update(islice(names, _MAX_PENDING - len(self._pending)))
        if self._pending and (self._rounds is None or self._rounds.done()):
            # An empty context: the rounds must not run as the actor of the request that happens to start them.
            self._rounds = asyncio.create_task(self._run_rounds(), context=contextvars.Context())

    async def close(self) -> None:
        """Stop the current round."""
        if self._rounds is not None:
            self._rounds.cancel()
            await asyncio.gather(self._rounds, return_exceptions=True)

    async def _run_rounds(self) -> None:
        while self._pending:
            began_at = time.monotonic()
            names = [self._pending.pop() for _ in range(min(MAX_NAMES, len(self._pending)))]
            try:
                await reconcile_named_sessions(self._services, names)
            except (problems.Problem, StoreError) as error:
                log.warning("sessions named by the store could not be reconciled: %s", error)
            except Exception:
                log.exception("sessions named by the store could not be reconciled")
            await asyncio.sleep(max(_ROUND_S, _PAUSE_FACTOR * (time.monotonic() - began_at)))
