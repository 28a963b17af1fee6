"""The way of a direct upload's bytes into one object at S3, part by part."""

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import update

from dropbox_api import problems
from dropbox_api.context import Services
from dropbox_api.core.content_hash import ContentHash
from dropbox_api.core.fingerprint import composite_digest, to_base64
from dropbox_api.files import guard
from dropbox_api.models import Upload
from dropbox_api.plumbing.failpoints import failpoint
from dropbox_api.storage.object_store import CompletedPart, StoreError
from dropbox_api.uploads import plans, sessions
from dropbox_api.uploads.direct.direct_session import (
    DirectSession,
    ReceivedBody,
    SentObject,
    SentPart,
    build_server_activity,
)
from dropbox_api.uploads.proof import is_expected_object

log = logging.getLogger(__name__)


@asynccontextmanager
async def open_intake(services: Services, session: DirectSession | None) -> AsyncIterator["Intake"]:
    """Take the bytes of a session into S3; when the block fails, the session is ended and its bytes are discarded."""
    intake = Intake(services, session)
    try:
        await failpoint("uploads.stream.after_t1")
        await services.store.require_space()
        yield intake
    except BaseException:
        await intake.abandon()
        raise


class Intake:
    """Takes bytes into one object. Without a session it only counts and hashes them."""

    def __init__(self, services: Services, session: DirectSession | None) -> None:
        self.session = session
        """May be replaced until the first byte was taken."""
        self._services = services
        self._max_bytes = plans.max_direct_bytes(services.settings)
        self._part_bytes = plans.direct_part_bytes(services.settings)
        self._hash = ContentHash()
        self._size_bytes = 0
        self._waiting = bytearray()
        self._sending: asyncio.Task[None] | None = None
        self._s3_upload_id: str | None = None
        self._parts: list[SentPart] = []

    async def take_all(self, blocks: AsyncIterator[bytes]) -> None:
        """Take the bytes to their end. Raises what `blocks` raises, BodyTooLarge, and the error of a part."""
        async for block in blocks:
            await self._take(block)

    async def _take(self, data: bytes) -> None:
        """Take the next bytes. Raises BodyTooLarge, and the error of the part that was sent before."""
        self._size_bytes += len(data)
        if self._size_bytes > self._max_bytes:
            raise problems.BodyTooLarge(max_bytes=self._max_bytes)
        self._hash.update(data)
        if self.session is None:
            return
        self._waiting += data
        # More than a part, not exactly one: a file of one part is a plain object.
        while len(self._waiting) > self._part_bytes:
            part = bytes(memoryview(self._waiting)[: self._part_bytes])
            del self._waiting[: self._part_bytes]
            await self._send(self.session, part)

    async def finish(self) -> ReceivedBody:
        """Store the remaining bytes, make the object, and check with HEAD that it is what was sent.

        Raises Unavailable (it is not), UploadExpired, StoreError.
        """
        fingerprint, session = self._hash.digest(), self.session
        is_utf8 = self._hash.is_utf8()
        if session is None:
            return ReceivedBody(fingerprint, self._size_bytes, is_utf8, None)
        rest = bytes(self._waiting)
        self._waiting.clear()
        digest = None
        if self._sending is None:
            await self._services.store.put(session.storage_key, rest)
            expected = to_base64(fingerprint)
        else:
            await self._send(session, rest)
            await self._wait_for_part()
            expected = digest = await self._complete(session)
        info = await self._services.store.head(session.storage_key)
        if not is_expected_object(info, self._size_bytes, expected):
            raise problems.Unavailable("The store did not keep what was sent", retry_after_s=1)
        parts = tuple(self._parts) or (SentPart(1, self._size_bytes, info.etag, fingerprint),)
        await failpoint("uploads.stream.after_s3")
        return ReceivedBody(fingerprint, self._size_bytes, is_utf8, SentObject(parts, info.etag, digest))

    async def _send(self, session: DirectSession, body: bytes) -> None:
        """Begin to send a part once the one before is stored."""
        await self._wait_for_part()
        self._sending = asyncio.create_task(self._put_part(session, len(self._parts) + 1, body))

    async def _wait_for_part(self) -> None:
        if self._sending is not None:
            await self._sending

    async def _put_part(self, session: DirectSession, number: int, body: bytes) -> None:
        s3_upload_id = self._s3_upload_id
        if s3_upload_id is None:
            self._s3_upload_id = s3_upload_id = await self._services.store.create_multipart(session.storage_key)
        # Before the part: a worker that has to clean up knows the multipart upload of everything that was sent.
        live = update(Upload).where(Upload.id == session.id, Upload.state == "active")
        async with self._services.db.begin() as tx:
            held = await tx.execute(live.values(s3_upload_id=s3_upload_id, **build_server_activity()))
        if not held.rowcount:
            raise problems.UploadExpired
        sha256 = await asyncio.to_thread(_sha256, body)
        part = await self._services.store.put_part(session.storage_key, s3_upload_id, number, body, sha256)
        self._parts.append(SentPart(number, part.size_bytes, part.etag, sha256))

    async def _complete(self, session: DirectSession) -> str:
        """Assemble the parts at S3; return the composite digest that the object must have."""
        if self._s3_upload_id is None:
            raise ValueError("no part was sent")
        completed = [CompletedPart(part.number, part.etag, part.sha256) for part in self._parts]
        await self._services.store.complete_multipart(
            session.storage_key, self._s3_upload_id, completed, self._size_bytes
        )
        return composite_digest([part.sha256 for part in self._parts])

    async def abandon(self) -> None:
        """End the session, unless it is completed, and discard what S3 holds of it; a worker does what fails here.

        Waits for the part that is being sent: S3 may store it all the same, and would keep it unknown to the server.
        """
        if self._sending is not None:
            await asyncio.gather(self._sending, return_exceptions=True)
        session = self.session
        if session is None:
            return
        try:
            async with self._services.db.begin() as tx:
                await guard.lock_owner(tx, session.owner_id)
                ended = await sessions.end_sessions(tx, session.owner_id, [session.id], "aborted", has_leftovers=True)
            if ended and self._s3_upload_id is not None:
                await self._services.store.abort_multipart(session.storage_key, self._s3_upload_id)
            if ended:
                await self._services.store.delete(session.storage_key)
        except (problems.Unavailable, StoreError) as error:
            log.warning("a direct upload is left to the workers: %s", error)


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
