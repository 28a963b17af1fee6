"""Parts: register the hashes of chunks and sign the URLs that accept exactly those bytes."""

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import select, text

from dropbox_api import problems
from dropbox_api.context import Context, Services
from dropbox_api.core.fingerprint import parse_sha256
from dropbox_api.db import Tx
from dropbox_api.models import Upload, UploadChunk
from dropbox_api.storage.object_store import PartToSign, SignedRequest
from dropbox_api.uploads import destinations, multipart, plans, schemas, sessions
from dropbox_api.uploads.sessions import UploadSession


@dataclass(frozen=True, slots=True)
class RegisteredChunk:
    """A chunk whose hash is registered: a URL may be signed for it."""

    number: int
    offset_bytes: int
    size_bytes: int
    sha256: bytes


async def sign_parts(
    context: Context, upload_id: uuid.UUID, wanted: Sequence[schemas.ChunkHash]
) -> list[schemas.SignedPart]:
    """Register the hashes of 1..1,000 chunks and return a signed URL for each, in their order.

    Those of them that are being reused are left to the client from now on.
    A URL accepts exactly the bytes that hash to the registered value: content-length and checksum are signed. No two
    hashes are ever signed for one chunk.
    Raises NotFound, InvalidRequest (no such chunk, or one twice), ChunkMismatch, ParentGone, UploadCompleting,
    UploadEnded, UploadExpired, UploadFailed, Unavailable, StoreError.
    Transaction: one; signing is local.
    """
    hashes = {part.number: parse_sha256(part.sha256) for part in wanted}
    async with context.db.read() as tx:
        session = await sessions.get_session(tx, context.actor_id, upload_id)
    plans.require_chunks(wanted, session.chunk_count)
    await context.store.require_space()
    await multipart.ensure_open_session(context, session)
    async with context.db.begin() as tx:
        session = await sessions.lock_session(tx, context.actor_id, upload_id)
        await destinations.require_open_destination(tx, session)
        require_active(session)
        chunks = await register_hashes(tx, session, hashes)
        await end_reuse(tx, upload_id, hashes)
        await sessions.touch_session(tx, upload_id, context.settings)
    return sign_chunks(context, session, [chunks[part.number] for part in wanted])


def require_active(session: UploadSession) -> None:
    """Raise UploadCompleting, Unavailable or what `sessions.require_live` does for a session that takes no parts."""
    sessions.require_live(session)
    if session.state == "completing":
        raise problems.UploadCompleting(retry_after_s=1)
    if session.state == "creating":
        raise problems.Unavailable("The upload is being prepared", retry_after_s=1)


_REGISTER = text("""
    UPDATE upload_chunks chunk SET sha256 = wanted.sha256
    FROM unnest(CAST(:numbers AS int[]), CAST(:hashes AS bytea[])) AS wanted(number, sha256)
    WHERE chunk.upload_id = :upload_id AND chunk.number = wanted.number AND chunk.sha256 IS NULL
    RETURNING chunk.number, chunk.offset_bytes, chunk.size_bytes, chunk.sha256
""")


async def register_hashes(tx: Tx, session: UploadSession, hashes: dict[int, bytes]) -> dict[int, RegisteredChunk]:
    """Bind hashes to chunks that have none yet; return all the chunks by number.

    Raises ChunkMismatch. Transaction: joins tx, which holds the session's lock.
    """
    values = {"upload_id": session.id, "numbers": list(hashes), "hashes": list(hashes.values())}
    chunks = {row.number: RegisteredChunk(*row) for row in await tx.execute(_REGISTER, values)}
    others = [number for number in hashes if number not in chunks]
    if others:
        known = select(UploadChunk.number, UploadChunk.offset_bytes, UploadChunk.size_bytes, UploadChunk.sha256).where(
            UploadChunk.upload_id == session.id, UploadChunk.number.in_(others)
        )
        chunks |= {
            row.number: RegisteredChunk(row.number, row.offset_bytes, row.size_bytes, row.sha256)
            for row in await tx.execute(known)
        }
    differing = [number for number, sha256 in hashes.items() if chunks[number].sha256 != sha256]
    if differing:
        raise problems.ChunkMismatch(numbers=sorted(differing))
    return chunks


async def end_reuse(tx: Tx, upload_id: uuid.UUID, numbers: Collection[int]) -> None:
    """Leave chunks to the client. A worker that still makes one of their parts records nothing.

    Transaction: joins tx, which holds the session's lock.
    """
    await tx.execute(_END_REUSE, {"upload_id": upload_id, "numbers": list(numbers)})


_END_REUSE = text("""
    WITH ended AS (
        DELETE FROM chunk_reuses WHERE upload_id = :upload_id AND number = ANY(CAST(:numbers AS int[]))
        RETURNING number
    )
    UPDATE upload_chunks SET state = 'planned' FROM ended
    WHERE upload_chunks.upload_id = :upload_id AND upload_chunks.number = ended.number AND state = 'reusing'
""")


# Signing: local, no I/O


def sign_single(services: Services, storage_key: str, chunk: RegisteredChunk) -> schemas.SignedPart:
    """Return the signed URL for the one chunk of a single session."""
    ttl_s = services.settings.uploads.url_ttl_s
    return _view(chunk, services.store.sign_put(storage_key, chunk.size_bytes, chunk.sha256, ttl_s))


def sign_chunks(
    services: Services, session: UploadSession, chunks: Sequence[RegisteredChunk]
) -> list[schemas.SignedPart]:
    """Return a signed URL for each registered chunk of a session."""
    if session.is_single:
        return [sign_single(services, session.storage_key, chunk) for chunk in chunks]
    to_sign = [PartToSign(chunk.number, chunk.size_bytes, chunk.sha256) for chunk in chunks]
    ttl_s = services.settings.uploads.url_ttl_s
    signed = services.store.sign_parts(session.storage_key, session.known_s3_upload_id, to_sign, ttl_s)
    return [_view(chunk, request) for chunk, request in zip(chunks, signed, strict=True)]


def _view(chunk: RegisteredChunk, request: SignedRequest) -> schemas.SignedPart:
    return schemas.SignedPart(
        number=chunk.number,
        url=request.url,
        headers=dict(request.headers),
        offset_bytes=chunk.offset_bytes,
        size_bytes=chunk.size_bytes,
        expires_at=request.expires_at,
    )


async def load_single_chunks(tx: Tx, upload_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, tuple[str, RegisteredChunk]]:
    """Return the storage key and the one chunk of each of these sessions that is single, by session id."""
    if not upload_ids:
        return {}
    joined = select(
        Upload.id,
        Upload.storage_key,
        UploadChunk.number,
        UploadChunk.offset_bytes,
        UploadChunk.size_bytes,
        UploadChunk.sha256,
    ).join(UploadChunk, UploadChunk.upload_id == Upload.id)
    rows = await tx.execute(joined.where(Upload.id.in_(upload_ids), Upload.strategy == "single"))
    return {
        row.id: (row.storage_key, RegisteredChunk(row.number, row.offset_bytes, row.size_bytes, row.sha256))
        for row in rows
    }
