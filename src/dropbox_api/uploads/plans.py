"""Plans: how the bytes of an upload are cut, within the limits of the store and of the settings."""

from collections.abc import Sequence

from dropbox_api import problems
from dropbox_api.core.chunks import (
    CDC_MAX_BYTES,
    CDC_MIN_BYTES,
    Plan,
    PlanError,
    StoreLimits,
    find_illegal_chunk,
    plan_chunks,
    plan_content_defined,
)
from dropbox_api.settings import Settings
from dropbox_api.storage.probe import BucketCapabilities
from dropbox_api.uploads import schemas


def read_store_limits(settings: Settings) -> StoreLimits:
    """Return the limits of the store, narrowed by the largest file that the settings allow."""
    limits = StoreLimits(settings.s3.min_part_bytes, settings.s3.max_part_bytes, settings.s3.max_parts)
    if settings.uploads.max_file_bytes is None:
        return limits
    return StoreLimits(limits.min_part_bytes, limits.max_part_bytes, limits.max_parts, settings.uploads.max_file_bytes)


def plan_upload(settings: Settings, request: schemas.ContentRequest) -> Plan:
    """Cut the file of a request into chunks.

    Raises SizeNotAllowed; FingerprintRequired for a small file without a fingerprint: it is hashed before it is sent;
    InvalidRequest for hashes of chunks that the plan does not have.
    """
    limits = read_store_limits(settings)
    if request.fingerprint is None and request.size_bytes <= settings.uploads.single_max_bytes:
        raise problems.FingerprintRequired("A file this small is hashed before it is sent", uploads=[])
    try:
        plan = plan_chunks(
            request.size_bytes,
            limits=limits,
            strategy=request.strategy,
            chunk_size_bytes=request.chunk_size_bytes,
            default_chunk_bytes=settings.uploads.chunk_size_bytes,
            single_max_bytes=settings.uploads.single_max_bytes,
        )
    except PlanError as error:
        raise problems.SizeNotAllowed(str(error), reason=error.reason, max_bytes=limits.largest_plan_bytes) from None
    if plan.strategy == "multipart" and request.chunk_size_bytes == plan.chunk_size_bytes:
        require_chunks(request.parts, plan.chunk_count)
    return plan


def max_cdc1_bytes(settings: Settings, bucket: BucketCapabilities) -> int:
    """Return the size of the largest file with content-defined chunks; 0 where the store wants parts of one size."""
    return read_store_limits(settings).largest_cdc1_bytes if bucket.behaviours.get("unequal_parts") else 0


def plan_listed(request: schemas.CreateUpload, max_bytes: int) -> Plan:
    """Return the plan of a file of at most `max_bytes` whose client lists content-defined chunks.

    Raises SizeNotAllowed; InvalidRequest for hashes of parts that are not among the listed chunks.
    """
    try:
        plan = plan_content_defined(request.size_bytes, max_bytes)
    except PlanError as error:
        raise problems.SizeNotAllowed(str(error), reason=error.reason, max_bytes=max_bytes) from None
    require_chunks(request.parts, len(request.chunks))
    return plan


def plan_encoded(settings: Settings, request: schemas.CreateUpload) -> Plan:
    """Cut the compressed content of a request into chunks.

    Always a multipart upload, whose parts have checksums of their own: that of a single one is the fingerprint.
    Raises SizeNotAllowed, also for content that would be too large when it is decoded, and as `plan_upload`.
    """
    plan_upload(settings, request.model_copy(update={"strategy": None, "chunk_size_bytes": None, "parts": ()}))
    encoded = {"size_bytes": request.encoded_size_bytes, "strategy": "multipart"}
    return plan_upload(settings, request.model_copy(update=encoded))


def require_listed(request: schemas.CreateUpload, plan: Plan) -> None:
    """Raise InvalidRequest for listed chunks that the plan cannot have, or parts with other hashes than they have."""
    listed = dict(enumerate(request.chunks, 1))
    if plan.chunking == "cdc1":
        require_next_chunks([chunk.size_bytes for chunk in request.chunks], plan.size_bytes, plan.size_bytes)
    elif plan.chunk_size_bytes == request.chunk_size_bytes:
        if len(listed) > plan.chunk_count:
            raise problems.InvalidRequest.at("/chunks", f"the plan has {plan.chunk_count} chunks")
        for number, chunk in listed.items():
            if (size_bytes := plan.chunk_bytes(number)) != chunk.size_bytes:
                raise problems.InvalidRequest.at(
                    f"/chunks/{number - 1}/size_bytes", f"chunk {number} has {size_bytes} bytes"
                )
    if any(part.number in listed and part.sha256 != listed[part.number].sha256 for part in request.parts):
        raise problems.InvalidRequest.at("/parts", "a part has another hash than its chunk")


def require_next_chunks(sizes: Sequence[int], rest_bytes: int, size_bytes: int, *, index: int = 0) -> None:
    """Raise InvalidRequest unless chunks of these sizes can be the next of a file's content-defined ones.

    `rest_bytes`: what the list does not cover yet. `index`: of the first size in the request's `chunks`.
    """
    illegal = find_illegal_chunk(sizes, rest_bytes)
    if illegal is not None:
        raise problems.InvalidRequest.at(
            f"/chunks/{index + illegal}/size_bytes",
            f"a chunk has {CDC_MIN_BYTES} to {CDC_MAX_BYTES} bytes, only the last of the file fewer, and all have"
            f" {size_bytes}",
        )


def require_chunks(parts: Sequence[schemas.ChunkHash], chunk_count: int) -> None:
    """Raise InvalidRequest for a chunk beyond the plan, or one that is named twice."""
    numbers = {part.number for part in parts}
    if len(numbers) < len(parts):
        raise problems.InvalidRequest.at("/parts", "a part number appears twice")
    if beyond := sorted(number for number in numbers if number > chunk_count):
        raise problems.InvalidRequest(
            f"The plan has {chunk_count} chunks",
            errors=[{"pointer": "/parts", "detail": f"there is no chunk {beyond[0]}"}],
        )


def max_direct_bytes(settings: Settings) -> int:
    """Return the size of the largest file that is taken through the API itself."""
    return min(settings.uploads.stream_max_bytes, read_store_limits(settings).largest_plan_bytes)


def direct_part_bytes(settings: Settings) -> int:
    """Return the size of the parts of a direct upload: the smallest with which the largest file has few enough."""
    return max(settings.s3.min_part_bytes, -(-settings.uploads.stream_max_bytes // settings.s3.max_parts))
