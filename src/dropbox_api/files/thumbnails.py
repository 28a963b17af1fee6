"""URLs of thumbnails, for callers that may see the files. `workers.thumbnails` makes them.

The role of a viewer includes downloads, so every role sees thumbnails. Content that is quarantined, damaged or not yet
verified shows none, to its owner neither.
"""

import uuid
from collections.abc import Iterable, Sequence

from sqlalchemy import text

from dropbox_api.context import Context, Services
from dropbox_api.core import thumbnails
from dropbox_api.db import Tx
from dropbox_api.files.schemas import File, FileList, Thumbnails
from dropbox_api.plumbing import request_source
from dropbox_api.storage.object_store import SignedRequest

_READY = text("""
    SELECT revisions.id, thumbnails.blob_id, thumbnails.version
    FROM revisions JOIN blobs ON blobs.id = revisions.blob_id AND blobs.content_status = 'verified'
    JOIN thumbnails ON thumbnails.blob_id = blobs.id AND thumbnails.state = 'ready'
    WHERE revisions.id = ANY(CAST(:revision_ids AS uuid[]))
""")


async def add_thumbnails(context: Context, files: Sequence[File]) -> list[File]:
    """Return the files with the URLs of their thumbnails; None for those that have none, or none yet."""
    if not context.settings.thumbnails.enabled:
        return list(files)
    async with context.db.read() as tx:
        keys = await find_keys(tx, [file.revision_id for file in files if file.revision_id])
    small, large = (sign_thumbnails(context, keys.values(), size_px) for size_px in thumbnails.SIZES_PX)
    shown = {
        revision_id: Thumbnails(small_url=of_small.url, large_url=of_large.url, expires_at=of_small.expires_at)
        for revision_id, of_small, of_large in zip(keys, small, large, strict=True)
    }
    return [
        file.model_copy(update={"thumbnails": shown[file.revision_id]}) if file.revision_id in shown else file
        for file in files
    ]


async def add_to_list(context: Context, page: FileList) -> FileList:
    """Return the page with the URLs of thumbnails."""
    return page.model_copy(update={"items": await add_thumbnails(context, page.items)})


async def add_to_file(context: Context, file: File) -> File:
    """Return the file with the URLs of its thumbnails."""
    return (await add_thumbnails(context, [file]))[0]


async def find_keys(tx: Tx, revision_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID | None, tuple[uuid.UUID, int]]:
    """Return blob and version of the thumbnails of these revisions; the caller has checked access."""
    ready = await tx.execute(_READY, {"revision_ids": revision_ids})
    return {row.id: (row.blob_id, row.version) for row in ready}


def sign_thumbnails(services: Services, wanted: Iterable[tuple[uuid.UUID, int]], size_px: int) -> list[SignedRequest]:
    """Return the URLs of thumbnails of this size, by blob and version, in order; each is the same within a window."""
    keys = [thumbnails.format_key(blob_id, size_px, version) for blob_id, version in wanted]
    return services.store.sign_cacheable(keys, "image/webp", address=request_source.get_source().address)
