"""Job `verify`: compare stored content with the fingerprint that its uploader claimed."""

import logging

from sqlalchemy import select

from dropbox_api import problems
from dropbox_api.context import Services
from dropbox_api.core.content_hash import ContentHash
from dropbox_api.files import blobs, guard
from dropbox_api.models import Blob
from dropbox_api.plumbing.failpoints import failpoint
from dropbox_api.storage.object_store import ObjectNotFound, ObjectStore, StoreError
from dropbox_api.workers.blob_condition import mark_damaged
from dropbox_api.workers.leases import LeasedBlob, claim_blob, keep_blob_lease
from dropbox_api.workers.reports import Report

log = logging.getLogger(__name__)


async def verify_next_blob(services: Services) -> Report:
    """Read the smallest unverified object, and mark its blob verified or quarantined.

    After a mismatch the object is read a second time: an error in transit must not quarantine good content.
    """
    blob = await claim_blob(services, Blob.size_bytes, Blob.content_status == "stored")
    if blob is None:
        return Report(0, 0)
    try:
        async with keep_blob_lease(services, blob):
            content = await _hash_object(services.store, blob.storage_key)
            if content.digest() != blob.fingerprint:
                content = await _hash_object(services.store, blob.storage_key)
    except ObjectNotFound:
        # An unverified blob without an object would be claimed first in every run. As `damaged` it belongs to job
        # `scrub`, which looks for equal bytes elsewhere.
        await mark_damaged(services.db, blob)
        return Report(1, 0, 1, (f"blob {blob.id}: its object is missing",))
    except (StoreError, problems.Unavailable) as error:
        log.warning("blob %s could not be read: %s", blob.id, error)
        return Report(0, 0, 1)
    await failpoint("workers.verify.after_read")
    return Report(1, int(await _record_result(services, blob, content)))


async def _record_result(services: Services, blob: LeasedBlob, content: ContentHash) -> bool:
    """Return False when this worker lost the lease."""
    async with services.db.begin() as tx:
        await guard.lock_owner(tx, blob.owner_id)
        is_held = (Blob.id == blob.id, Blob.lease_token == blob.lease_token, Blob.content_status == "stored")
        if (await tx.execute(select(Blob.id).where(*is_held))).scalar_one_or_none() is None:
            return False
        kept = blob.id
        if content.digest() == blob.fingerprint:
            # Before the merge: it mixes these files with files whose event was appended with the other blob's.
            await blobs.append_head_events(tx, blob.owner_id, blob.id, "file.verified")
            kept = await blobs.mark_verified(tx, blob.owner_id, blob.id)
        else:
            await blobs.mark_quarantined(tx, blob.id, content.digest())
            await blobs.append_head_events(tx, blob.owner_id, blob.id, "file.quarantined")
        await blobs.record_encoding(tx, kept, is_utf8=content.is_utf8())
    return True


async def _hash_object(store: ObjectStore, key: str) -> ContentHash:
    """Read an object. Raises StoreError."""
    content = ContentHash()
    async for block in store.read(key):
        content.update(block)
    return content
