"""What the object store says of itself, by queue or by call: a hint where to look, and never believed.

A notification names storage keys and S3's upload ids. Those of a session that is being sent make us look there as we
would for its client: ListParts or HEAD, compared with the plan. What nobody knows, what came twice, late, out of order
or from a forger changes nothing, and costs an index probe, or at most one look at a session a round.

Sources: "Event message structure" in S3's user guide; SeaweedFS 4.48's webhook (`weed scaffold -config=notification`),
its bodies as it sends them.
"""

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import Collection, Iterator, Sequence
from contextvars import Context
from datetime import timedelta
from itertools import islice
from typing import Any
from urllib.parse import unquote_plus

import orjson
from sqlalchemy import ARRAY, Text, any_, func, literal, or_, select, update

from dropbox_api import problems
from dropbox_api.context import Services
from dropbox_api.db import Db
from dropbox_api.models import Upload, UploadChunk
from dropbox_api.plumbing import request_source
from dropbox_api.settings import Settings
from dropbox_api.storage.object_store import ObjectStore, StoreError
from dropbox_api.uploads.reconcile import reconcile_session

log = logging.getLogger(__name__)

MAX_NAMES = 1_000
"""Read of one notification, and looked for in one round."""

_MAX_WAITING = 10_000
_MAX_NAME_CHARS = 1_024  # of a key in S3
_AT_ONCE = 4
_ROUND_S = 0.5
_REST = 3
"""A round is followed by a pause of so many times its own length: listing 9,999 parts takes a third of a second."""
_FINISH_AFTER_S = 60
"""A client that says nothing more for so long, with every part there, is taken to be gone."""


def names_in(body: bytes | str, bucket: str) -> set[str]:
    """Return what a notification is about: storage keys and S3 upload ids of new content in the bucket.

    At most 1,000, printable ASCII as ours are; none for deletions, tests, other buckets and whatever it may be else.
    Raises ValueError when it is no JSON.
    """
    usable = (name for name in _names(orjson.loads(body), bucket) if name.isascii() and name.isprintable() and name)
    return set(islice((name for name in usable if len(name) <= _MAX_NAME_CHARS), MAX_NAMES))


def _names(said: Any, bucket: str) -> Iterator[str]:
    match said:
        case {"Type": "Notification", "Message": str(wrapped)}:  # S3's by way of SNS
            with contextlib.suppress(orjson.JSONDecodeError):
                inner = orjson.loads(wrapped)
                if isinstance(inner, dict) and "Records" in inner:
                    yield from _names({"Records": inner["Records"]}, bucket)
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


_ITS_CLIENTS = (problems.UploadExpired, problems.NotFound, problems.ParentGone)
"""It has ended, or has no place any more: that is for its client to be told, who asks."""


async def look(db: Db, store: ObjectStore, settings: Settings, names: Collection[str]) -> None:
    """Reconcile the sessions that these storage keys and S3 upload ids belong to, if they are being sent.

    No session's life is prolonged. One whose every part is there now, and whose client says nothing more, is finished
    by a worker after a minute instead of `uploads.idle_finalise_s`.
    Raises: StoreError or Unavailable when one could not be looked at; the others have been.
    """
    if not names:
        return
    wanted = any_(literal(list(names), ARRAY(Text)))  # one statement, however many they are
    named = or_(Upload.storage_key == wanted, Upload.s3_upload_id == wanted)
    async with db.read() as tx:
        found = select(Upload.id, Upload.uploader_id).where(named, Upload.state == "active")
        sessions = (await tx.execute(found.where(Upload.strategy != "stream"))).all()
    services = Services(db, store, settings)
    gate = asyncio.Semaphore(_AT_ONCE)

    async def reconcile(session: Any) -> None:
        async with gate:
            with contextlib.suppress(*_ITS_CLIENTS), request_source.act_for(session.uploader_id):
                await reconcile_session(services, session.uploader_id, session.id)

    outcomes = await asyncio.gather(*map(reconcile, sessions), return_exceptions=True)
    await _expedite(db, [session.id for session in sessions])
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome


async def _expedite(db: Db, upload_ids: Sequence[uuid.UUID]) -> None:
    """Have a worker look soon at what only lacks its `complete`; once, for afterwards its own pauses count."""
    if not upload_ids:
        return
    lacking = select(UploadChunk.number).where(UploadChunk.upload_id == Upload.id, UploadChunk.state != "uploaded")
    sent = update(Upload).where(
        Upload.id.in_(upload_ids),
        Upload.state == "active",
        Upload.fingerprint.is_not(None),
        Upload.checks == 0,
        ~lacking.exists(),
    )
    soon = func.now() + timedelta(seconds=_FINISH_AFTER_S)
    async with db.begin() as tx:
        await tx.execute(sent.values(next_check_at=func.least(Upload.next_check_at, soon)))


class Lookout:
    """Looks, in rounds, where notifications point to: each session once a round, however often it was named.

    What cannot be looked at, or does not fit into its memory, is left to the session's client, who asks anyway.
    """

    def __init__(self, db: Db, store: ObjectStore, settings: Settings) -> None:
        self._db = db
        self._store = store
        self._settings = settings
        self._waiting: set[str] = set()
        self._rounds: asyncio.Task[None] | None = None

    def notice(self, names: Collection[str]) -> None:
        """Remember where to look; at once if nobody is looking, else in the next round. Waits for nothing."""
        self._waiting.update(islice(names, _MAX_WAITING - len(self._waiting)))
        if self._waiting and (self._rounds is None or self._rounds.done()):
            # In nobody's name: not in that of the request that happened to come first.
            self._rounds = asyncio.create_task(self._go_round(), context=Context())

    async def close(self) -> None:
        """Stop looking."""
        if self._rounds is not None:
            self._rounds.cancel()
            await asyncio.gather(self._rounds, return_exceptions=True)

    async def _go_round(self) -> None:
        while self._waiting:
            began_at = time.monotonic()
            names = [self._waiting.pop() for _ in range(min(MAX_NAMES, len(self._waiting)))]
            try:
                await look(self._db, self._store, self._settings, names)
            except (problems.Problem, StoreError) as error:
                log.warning("could not look where the store pointed: %s", error)
            except Exception:
                log.exception("could not look where the store pointed")
            await asyncio.sleep(max(_ROUND_S, _REST * (time.monotonic() - began_at)))
