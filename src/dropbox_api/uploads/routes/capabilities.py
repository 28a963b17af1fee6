"""`/v1/capabilities`: what this server and its store can do."""

from datetime import UTC, datetime

from fastapi import APIRouter

from dropbox_api import problems
from dropbox_api.accounts.auth import Reader
from dropbox_api.deps import CapabilitiesDep
from dropbox_api.plumbing.epoch import read_instance
from dropbox_api.responses import problem_responses
from dropbox_api.schemas import BATCH_ITEMS
from dropbox_api.uploads import plans, reuse, schemas

router = APIRouter()


@router.get(
    "/capabilities",
    operation_id="server_get_capabilities",
    responses=problem_responses(problems.Unauthenticated, problems.StoreFull),
)
async def capabilities(context: Reader, bucket: CapabilitiesDep) -> schemas.Capabilities:
    """Return the limits and abilities of this server and its store, as probed at start, and the epoch of its data."""
    settings = context.settings
    limits = plans.read_store_limits(settings)
    cdc1_max_bytes = plans.max_cdc1_bytes(settings, bucket)
    instance = await read_instance(context.db)
    return schemas.Capabilities(
        proof_level=bucket.level or "B",
        behaviours=dict(bucket.behaviours),
        strategies=["single", "multipart"],
        chunkings=["fixed", "cdc1"] if cdc1_max_bytes else ["fixed"],
        cdc1_max_bytes=cdc1_max_bytes,
        encodings=["identity", "zstd"],
        delta=reuse.choose_mode(settings, bucket),
        single_max_bytes=settings.uploads.single_max_bytes,
        chunk_size_bytes=settings.uploads.chunk_size_bytes,
        min_part_bytes=limits.min_part_bytes,
        max_part_bytes=limits.max_part_bytes,
        max_parts=limits.max_parts,
        max_file_bytes=limits.largest_plan_bytes,
        url_ttl_s=settings.uploads.url_ttl_s,
        session_ttl_s=settings.uploads.session_ttl_s,
        batch_items=BATCH_ITEMS,
        server_time=datetime.now(UTC),
        instance_id=instance.instance_id,
        data_epoch=instance.data_epoch,
    )
