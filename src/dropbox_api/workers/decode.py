"""Job `decode`: store compressed content as it is, once S3 has assembled what its client sent.

The worker reads the compressed object, decodes and hashes it, and writes another object, whose hash must be the
fingerprint. One transaction makes the session one of that object and records it as any other; then the compressed
object is deleted. A killed run leaves either of the two objects without a row: job `sweep` removes it.
"""

import hashlib
import logging
import sys
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import timedelta

from sqlalchemy import Update, delete, func, insert, select, text, update

from dropbox_api import problems
from dropbox_api.context import Services
from dropbox_api.core.chunks import MIB, Plan, plan_chunks
from dropbox_api.core.fingerprint import composite_digest
from dropbox_api.db import Tx, new_id
from dropbox_api.files import guard
from dropbox_api.models import IS_TO_DECODE, Upload, UploadChunk
from dropbox_api.plumbing import request_source
from dropbox_api.plumbing.failpoints import failpoint
from dropbox_api.plumbing.row_leases import NO_LEASE, keep_lease
from dropbox_api.storage.object_store import CompletedPart, ObjectNotFound, ObjectStore, StoreError, StoreUnavailable
from dropbox_api.uploads import sessions
from dropbox_api.uploads.assembly import fail_session
from dropbox_api.uploads.plans import read_store_limits
from dropbox_api.uploads.proof import is_expected_object
from dropbox_api.uploads.record import StoredObject, delete_objects, record_completion
from dropbox_api.uploads.sessions import UploadSession
from dropbox_api.workers.reports import Report

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

log = logging.getLogger(__name__)

MAX_PAUSE_S = 600
MAX_WINDOW_LOG = 27
"""Of a frame: 128 MiB, the default limit of zstd. It bounds the memory that decoding takes."""
_BLOCK_BYTES = MIB


class UndecodableError(Exception):
    """The compressed content is not the announced one; the message is for its owner."""


@dataclass(frozen=True, slots=True)
class _Decoded:
    """The object that was written."""

    key: str
    etag: str
    digest: str
    plan: Plan
    parts: list[CompletedPart]


async def decode_next_upload(services: Services) -> Report:
    """Decode the content that has waited for the longest time."""
    claimed = await _claim(services)
    if claimed is None:
        return Report(0, 0)
    session, token = claimed
    held = update(Upload).where(Upload.id == session.id, Upload.lease_token == token)
    try:
        async with keep_lease(services.db, held, services.settings.worker.verify_lease_s):
            decoded = await _decode(services, session)
    except UndecodableError as error:
        log.warning("upload %s could not be decoded: %s", session.id, error)
        await fail_session(services.db, session, token, str(error))
        return Report(1, 1)
    except ObjectNotFound:
        await fail_session(services.db, session, token, "the store has lost the compressed content")
        return Report(1, 1)
    except (StoreError, problems.Unavailable) as error:
        log.warning("upload %s was not decoded: %s", session.id, error)
        await _postpone(services, held)
        return Report(1, 0, 1)
    await failpoint("workers.decode.after_s3")
    is_recorded = await _record(services, session, token, decoded)
    await failpoint("workers.decode.after_record")
    # The compressed object, or that of a worker which has lost its lease.
    await delete_objects(services, [session if is_recorded else replace(session, storage_key=decoded.key)])
    return Report(1, 1)


async def _claim(services: Services) -> tuple[UploadSession, uuid.UUID] | None:
    """Lease a session; return it with the fencing token."""
    token = uuid.uuid4()
    waiting = (text(IS_TO_DECODE), sessions.IS_LEASE_FREE, Upload.next_check_at <= func.now())
    first = select(Upload.id).where(*waiting).order_by(Upload.next_check_at).limit(1)
    lease = timedelta(seconds=services.settings.worker.verify_lease_s)
    claim = (
        update(Upload)
        .where(Upload.id == first.with_for_update(skip_locked=True).scalar_subquery())
        .values(lease_token=token, lease_until=func.now() + lease)
        .returning(*sessions.SESSION_COLUMNS)
    )
    async with services.db.begin() as tx:
        row = (await tx.execute(claim)).one_or_none()
    return None if row is None else (UploadSession(*row), token)


async def _postpone(services: Services, held: Update) -> None:
    """Give the lease up, and wait longer after each failure."""
    pause = func.least(func.power(2, Upload.checks), MAX_PAUSE_S) * text("interval '1 second'")
    async with services.db.begin() as tx:
        await tx.execute(held.values(next_check_at=func.now() + pause, checks=Upload.checks + 1, **NO_LEASE))


async def _decode(services: Services, session: UploadSession) -> _Decoded:
    """Write the decoded content into a new object. Job `sweep` removes the parts of a failed attempt.

    Raises UndecodableError (after a second reading: an error in transit must not fail good content), StoreError.
    """
    try:
        return await _write(services, session)
    except UndecodableError:
        return await _write(services, session)


async def _write(services: Services, session: UploadSession) -> _Decoded:
    store, limits = services.store, read_store_limits(services.settings)
    chunk_bytes = services.settings.uploads.chunk_size_bytes
    plan = plan_chunks(session.stored_bytes, limits=limits, strategy="multipart", default_chunk_bytes=chunk_bytes)
    key = f"blobs/{session.owner_id}/{session.known_fingerprint.hex()}/{new_id()}"
    upload_id = await store.create_multipart(key)
    parts: list[CompletedPart] = []
    whole = hashlib.sha256()
    async for chunk in _cut(read_frame(store, session.storage_key), plan):
        whole.update(chunk)
        sha256 = hashlib.sha256(chunk).digest()
        part = await store.put_part(key, upload_id, len(parts) + 1, chunk, sha256)
        parts.append(CompletedPart(part.number, part.etag, sha256))
    if whole.digest() != session.known_fingerprint:
        raise UndecodableError("the content does not decode to its fingerprint")
    await store.complete_multipart(key, upload_id, parts, plan.size_bytes)
    info, digest = await store.head(key), composite_digest([part.sha256 for part in parts])
    if not is_expected_object(info, plan.size_bytes, digest):
        raise StoreUnavailable(f"{key} differs from what was written")
    return _Decoded(key, info.etag, digest, plan, parts)


async def _cut(blocks: AsyncGenerator[bytes], plan: Plan) -> AsyncIterator[bytes]:
    """Iterate over the chunks of a plan. Raises UndecodableError unless the blocks have exactly its size."""
    chunk, received = bytearray(), 0
    async with aclosing(blocks):
        async for block in blocks:
            received += len(block)
            if received > plan.size_bytes:
                raise UndecodableError("the content decodes to more bytes than were announced")
            chunk += block
            while len(chunk) >= plan.chunk_size_bytes:
                yield bytes(chunk[: plan.chunk_size_bytes])
                del chunk[: plan.chunk_size_bytes]
    if received < plan.size_bytes:
        raise UndecodableError("the content decodes to fewer bytes than were announced")
    if chunk:
        yield bytes(chunk)


async def read_frame(store: ObjectStore, key: str) -> AsyncGenerator[bytes]:
    """Stream what an object decodes to, in blocks of at most 1 MiB: the object is one zstd frame.

    Raises UndecodableError, and as `ObjectStore.read` does.
    """
    decoder = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: MAX_WINDOW_LOG})
    try:
        async for block in store.read(key):
            if decoder.eof:
                raise UndecodableError("bytes follow the zstd frame")
            decoded = decoder.decompress(block, _BLOCK_BYTES)
            while decoded:
                yield decoded
                decoded = b"" if decoder.eof or decoder.needs_input else decoder.decompress(b"", _BLOCK_BYTES)
    except zstd.ZstdError as error:
        raise UndecodableError(f"the content is no zstd frame: {error}") from error
    if not decoder.eof or decoder.unused_data:
        raise UndecodableError("bytes follow the zstd frame" if decoder.eof else "the zstd frame ends early")


async def _record(services: Services, session: UploadSession, token: uuid.UUID, decoded: _Decoded) -> bool:
    """Record the decoded object as that of the session, and complete it; return False when the lease was lost."""
    stored = StoredObject(session.id, token, decoded.etag, decoded.digest, is_verified=True)
    with request_source.act_for(session.uploader_id):
        async with services.db.begin() as tx:
            await guard.lock_owner(tx, session.owner_id)
            held = (Upload.id == session.id, Upload.lease_token == token, text(IS_TO_DECODE))
            if (await tx.execute(select(Upload.id).where(*held).with_for_update())).first() is None:
                return False
            await _take_over(tx, session, decoded)
            await record_completion(tx, session.owner_id, [stored])
    return True


async def _take_over(tx: Tx, session: UploadSession, decoded: _Decoded) -> None:
    """Make the session one of the decoded object. Transaction: joins tx, which holds the session's lock."""
    plan = decoded.plan
    await tx.execute(delete(UploadChunk).where(UploadChunk.upload_id == session.id))
    rows = [
        {
            "upload_id": session.id,
            "number": number,
            "offset_bytes": offset_bytes,
            "size_bytes": size_bytes,
            "sha256": part.sha256,
            "state": "uploaded",
            "etag": part.etag,
        }
        for (number, offset_bytes, size_bytes), part in zip(plan.ranges(), decoded.parts, strict=True)
    ]
    await tx.execute(insert(UploadChunk), rows)
    values = {
        "storage_key": decoded.key,
        "size_bytes": plan.size_bytes,
        "chunk_size_bytes": plan.chunk_size_bytes,
        "chunk_count": plan.chunk_count,
        "encoded_etag": None,
    }
    await tx.execute(update(Upload).where(Upload.id == session.id).values(values))
