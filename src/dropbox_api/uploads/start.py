"""Start uploads: plan, claim under the owner's lock (T1), open multipart uploads at S3, record (T2), answer."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from dropbox_api import problems
from dropbox_api.context import Context, Services
from dropbox_api.core import ranges
from dropbox_api.files import views
from dropbox_api.plumbing import idempotency
from dropbox_api.plumbing.failpoints import failpoint
from dropbox_api.plumbing.idempotency import Once
from dropbox_api.plumbing.store_problems import to_problem
from dropbox_api.responses import describe_problem
from dropbox_api.storage.object_store import StoreError
from dropbox_api.storage.probe import BucketCapabilities
from dropbox_api.uploads import chunk_lists, claims, multipart, parts, plans, queries, reuse, schemas
from dropbox_api.uploads.claims import Claim, SessionClaim, StoredFile

S3_CREATES_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class StartResult:
    """The answer to one request, and whether it made a new session."""

    answer: schemas.CreatedUpload
    is_new: bool


async def start_upload(
    context: Context, request: schemas.CreateUpload, once: Once | None, bucket: BucketCapabilities
) -> StartResult:
    """Start an upload: a new session, the live one of the same content, or at once the file of stored content.

    The chunks of a new session are listed, and signed URLs come along, as `_answer` says; these are not kept for a
    repetition under the same key.
    Raises SizeNotAllowed, InvalidRequest (chunks that the plan does not have), InvalidName, NotFound (parent),
    Forbidden, NotAFolder, NameTaken, RevisionConflict, QuotaExceeded, TooManyFiles, TooManyUploads,
    FingerprintRequired, FingerprintMismatch, ParentGone, ChunkMismatch, Unavailable, Replayed, IdempotencyMismatch.
    Transaction: T1, S3, T2. A problem of T1 undoes all of it: folders made on the way, the claim to the key.
    Idempotent: by (caller, fingerprint); a session without a fingerprint is new each time, but for the same `once`.
    """
    draft = claims.draft_upload(context.settings, request, plans.max_cdc1_bytes(context.settings, bucket))
    await context.store.require_space()
    async with context.db.begin() as tx:
        claimed = await claims.claim_uploads(tx, context.settings, context.actor_id, [draft], once)
        if isinstance(claimed[0], problems.Problem):
            raise claimed[0]
    await failpoint("uploads.start.after_t1")
    opened = await open_sessions(context, claimed)
    (result,) = await _answer(context, [request], opened, bucket)
    if isinstance(result, problems.Problem):
        raise result
    kept = result.answer.model_copy(update={"parts": []})
    await idempotency.record_answer(context.db, once, 201 if result.is_new else 200, kept)
    return result


async def start_batch(
    context: Context, requests: Sequence[schemas.CreateUpload], once: Once | None, bucket: BucketCapabilities
) -> schemas.CreatedUploadBatch:
    """Start up to 500 uploads, claimed in one transaction; each has its own answer or problem, in order.

    Signed URLs come along as `_answer` says; they are not kept for a repetition under the same key.
    Raises Replayed, IdempotencyMismatch. Transaction, Idempotent: as `start_upload`.
    """
    cdc1_max_bytes = plans.max_cdc1_bytes(context.settings, bucket)
    drafts = [claims.draft_upload(context.settings, request, cdc1_max_bytes) for request in requests]
    await context.store.require_space()
    async with context.db.begin() as tx:
        claimed = await claims.claim_uploads(tx, context.settings, context.actor_id, drafts, once)
    await failpoint("uploads.start.after_t1")
    results = await _answer(context, requests, await open_sessions(context, claimed), bucket)
    items = [_view(result) for result in results]
    if once:
        kept = [item.model_copy(update={"parts": []}) for item in items]
        await idempotency.record_answer(context.db, once, 200, schemas.CreatedUploadBatch(items=kept))
    return schemas.CreatedUploadBatch(items=items)


def _view(result: StartResult | problems.Problem) -> schemas.CreatedUploadItem:
    if isinstance(result, problems.Problem):
        return schemas.CreatedUploadItem(problem=describe_problem(result))
    answer = result.answer
    return schemas.CreatedUploadItem(upload=answer.upload, file=answer.file, parts=answer.parts)


async def open_sessions(services: Services, claimed: Sequence[Claim]) -> list[Claim]:
    """Open the multipart uploads that claimed sessions need; return the claims, or the problems of those that failed.

    Transaction: for each session one before and one after S3.
    """
    gate = asyncio.Semaphore(S3_CREATES_AT_ONCE)

    async def open_session(claim: Claim) -> Claim:
        if not isinstance(claim, SessionClaim) or not claim.needs_multipart:
            return claim
        try:
            async with gate:
                await multipart.open_multipart(services, claim.upload_id)
        except problems.Problem as problem:
            return problem
        except StoreError as error:
            return to_problem(error)
        return claim

    return list(await asyncio.gather(*map(open_session, claimed)))


async def _answer(
    context: Context, requests: Sequence[schemas.CreateUpload], claimed: Sequence[Claim], bucket: BucketCapabilities
) -> list[StartResult | problems.Problem]:
    """Return the answer to each request, in order, with the signed URLs that need no further request.

    These are the one part of a single upload, and those of the parts whose hashes the request brought that are not
    reused. Chunks and parts of a request count for a new session, if its chunks have the size that they were cut for.
    """
    upload_ids = [claim.upload_id for claim in claimed if isinstance(claim, SessionClaim)]
    node_ids = [claim.node_id for claim in claimed if isinstance(claim, StoredFile)]
    async with context.db.read() as tx:
        by_id = await queries.load_views(tx, upload_ids)
        by_node = await views.find_files(tx, context.actor_id, node_ids) if node_ids else {}
        singles = await parts.load_single_chunks(tx, upload_ids)
    results: list[StartResult | problems.Problem] = []
    for request, claim in zip(requests, claimed, strict=True):
        if isinstance(claim, problems.Problem):
            results.append(claim)
        elif isinstance(claim, StoredFile):
            file = by_node.get(claim.node_id)  # unless it was deleted for good in the meantime
            stored = StartResult(schemas.CreatedUpload(upload=None, file=file), is_new=False)
            results.append(stored if file else problems.NotFound())
        else:
            upload = by_id[claim.upload_id]
            signed: list[schemas.SignedPart] = []
            if upload.state == "active" and upload.strategy == "single" and upload.missing:
                signed = [parts.sign_single(context, *singles[upload.id])]
            elif claim.is_new and (request.chunking == "cdc1" or request.chunk_size_bytes == upload.chunk_size_bytes):
                try:
                    upload, signed = await _list_and_sign(context, request, upload, bucket)
                except problems.Problem as problem:
                    results.append(problem)
                    continue
            answer = schemas.CreatedUpload(upload=upload, file=None, parts=signed)
            results.append(StartResult(answer, claim.is_new))
    return results


async def _list_and_sign(
    context: Context, request: schemas.CreateUpload, upload: schemas.Upload, bucket: BucketCapabilities
) -> tuple[schemas.Upload, list[schemas.SignedPart]]:
    """List the chunks of a request, and sign its parts that are not reused. Raises as the two operations do."""
    if request.chunks:
        mode = reuse.choose_mode(context.settings, bucket)
        upload = await chunk_lists.list_chunks(context, upload.id, 1, request.chunks, mode)
    reusing = set(ranges.decode_ranges(upload.reusing, max_count=len(request.chunks)))
    to_sign = [part for part in request.parts if part.number not in reusing]
    return upload, await parts.sign_parts(context, upload.id, to_sign) if to_sign else []
