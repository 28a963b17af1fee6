"""What happens without a client: drive, verify, expire, clean up. Each job is one `run_once(...) -> Report`.

A job claims a little, does it, and records it; killed anywhere, it is done again by whoever comes next. Any number of
workers may run: claims skip what others hold.
"""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_, select, text, update

from dropbox_api import problems
from dropbox_api.context import Services
from dropbox_api.db import Db
from dropbox_api.files import blobs, guard
from dropbox_api.models import LIVE_UPLOAD, Blob, Revision, Upload, UploadChunk, User
from dropbox_api.plumbing import request_source
from dropbox_api.plumbing.failpoints import failpoint
from dropbox_api.settings import Settings
from dropbox_api.storage.object_store import ObjectNotFound, ObjectStore, StoreError
from dropbox_api.uploads import sessions
from dropbox_api.uploads.complete import finish_session
from dropbox_api.workers import blob_leases, consuming, delivering, publishing, purging, relay, retention, scrubbing
from dropbox_api.workers.reports import Job, Report

log = logging.getLogger(__name__)

AT_ONCE = 20
MAX_BACKOFF_DOUBLINGS = 10


async def finish_stale(db: Db, store: ObjectStore, settings: Settings) -> Report:
    """Drive `completing` sessions whose holder is gone."""
    free = or_(Upload.lease_until.is_(None), Upload.lease_until < func.now())
    stale = await _take_due(db, settings.uploads.lease_s, Upload.state == "completing", free)
    return await _complete_all(db, store, settings, stale)


async def finish_idle(db: Db, store: ObjectStore, settings: Settings) -> Report:
    """Complete sessions whose client vanished though every part may be there.

    Only those whose every chunk was signed are worth a listing.
    """
    unsigned = select(UploadChunk.number).where(UploadChunk.upload_id == Upload.id, UploadChunk.sha256.is_(None))
    conditions = (Upload.state == "active", Upload.fingerprint.is_not(None), ~unsigned.exists())
    idle = await _take_due(db, settings.uploads.idle_finalise_s, *conditions)
    return await _complete_all(db, store, settings, idle)


async def _take_due(db: Db, pause_s: float, *conditions: ColumnElement[bool]) -> Sequence[Any]:
    """Return sessions that are due, and put their next turn off: each look in vain doubles the wait for the next."""
    due = select(Upload.id).where(*conditions, Upload.next_check_at < func.now()).order_by(Upload.next_check_at)
    doubled_s = pause_s * func.power(2, func.least(Upload.checks, MAX_BACKOFF_DOUBLINGS))
    put_off = {
        "checks": Upload.checks + 1,
        "next_check_at": func.now() + doubled_s * text("interval '1 second'"),
    }
    mine = Upload.id.in_(due.limit(AT_ONCE).with_for_update(skip_locked=True))
    async with db.begin() as tx:
        taken = await tx.execute(update(Upload).where(mine).values(**put_off).returning(Upload.id, Upload.uploader_id))
        return taken.all()


async def _complete_all(db: Db, store: ObjectStore, settings: Settings, found: Any) -> Report:
    services = Services(db, store, settings)
    done = failed = 0
    for row in found:
        try:
            with request_source.act_for(row.uploader_id):
                done += await finish_session(services, row.uploader_id, row.id)
        except (problems.PartsMissing, problems.DestinationRefused, problems.UploadExpired, problems.ParentGone):
            done += 1
        except (problems.Problem, StoreError) as error:
            failed += 1
            log.warning("upload %s could not be finished: %s", row.id, error)
        except Exception:  # one that nobody foresaw must not keep the others waiting
            failed += 1
            log.exception("upload %s could not be finished", row.id)
    return Report(len(found), done, failed)


async def expire(db: Db, store: ObjectStore, settings: Settings) -> Report:  # noqa: ARG001 - every job has one shape
    """End sessions without activity, and those that nobody could finish; what S3 holds of them is `discard`'s."""
    free = or_(Upload.lease_until.is_(None), Upload.lease_until < func.now())
    in_vain = and_(Upload.state == "completing", Upload.checks > MAX_BACKOFF_DOUBLINGS, free)
    ends = and_(or_(Upload.state.in_(("creating", "active")), in_vain), Upload.expires_at < func.now())
    late = select(Upload.id, Upload.owner_id).where(ends)
    async with db.read() as tx:
        found = (await tx.execute(late.limit(AT_ONCE * 10))).all()
    done = 0
    for owner_id in {row.owner_id for row in found}:
        mine = [row.id for row in found if row.owner_id == owner_id]
        async with db.begin() as tx:
            await guard.lock_owner(tx, owner_id)
            still = select(Upload.id).where(Upload.id.in_(mine), ends)
            ids = list((await tx.execute(still.with_for_update())).scalars())
            done += len(await sessions.end_sessions(tx, owner_id, ids, "expired", leftover=True))
    return Report(len(found), done)


async def discard(db: Db, store: ObjectStore, settings: Settings) -> Report:
    """Remove what ended sessions left in S3, once no signed URL of theirs lives any more.

    A part in flight may land after an abort: the row is done with only when S3 says that the upload is unknown.
    """
    ripe = func.now() - timedelta(seconds=settings.uploads.url_ttl_s)
    left = select(Upload.id, Upload.storage_key, Upload.s3_upload_id).where(Upload.leftover, Upload.ended_at < ripe)
    async with db.read() as tx:
        found = (await tx.execute(left.order_by(Upload.ended_at).limit(AT_ONCE))).all()
    done = failed = 0
    for row in found:
        try:
            if await _discard(db, store, row):
                await failpoint("workers.discard.after_s3")
                async with db.begin() as tx:
                    await tx.execute(update(Upload).where(Upload.id == row.id).values(leftover=False))
                done += 1
        except StoreError as error:
            failed += 1
            log.warning("leftovers of upload %s: %s", row.id, error)
            async with db.begin() as tx:  # behind the others, so that a few that fail do not stop the rest
                await tx.execute(update(Upload).where(Upload.id == row.id).values(ended_at=func.now()))
    return Report(len(found) if done else 0, done, failed)


async def _discard(db: Db, store: ObjectStore, row: Any) -> bool:
    if row.s3_upload_id:
        await store.abort_multipart(row.storage_key, row.s3_upload_id)
        try:
            await store.list_parts(row.storage_key, row.s3_upload_id)
        except ObjectNotFound:
            pass
        else:
            return False
    async with db.read() as tx:
        needed = select(Blob.id).where(Blob.storage_key == row.storage_key)
        is_needed = (await tx.execute(needed)).scalar_one_or_none() is not None
    if not is_needed:
        await store.delete(row.storage_key)
    return True


async def verify(db: Db, store: ObjectStore, settings: Settings) -> Report:
    """Stream the smallest unverified object and compare its hash with the claimed fingerprint.

    It is read a second time before it is condemned: a fault on the way must not quarantine good content.
    """
    blob = await blob_leases.claim(db, settings, Blob.size_bytes, Blob.content_status == "stored")
    if blob is None:
        return Report(0, 0)
    try:
        async with blob_leases.kept(db, settings, blob):
            found = await _hash(store, blob.storage_key)
            if found != blob.fingerprint:
                found = await _hash(store, blob.storage_key)
    except ObjectNotFound:
        # Gone before it was read once. Left as it is it would be tried first for ever, being small perhaps; damaged, it
        # is `scrub` that looks for its bytes elsewhere.
        await scrubbing.mark_damaged(db, blob)
        return Report(1, 0, 1, (f"blob {blob.id}: its object is gone",))
    except (StoreError, problems.Unavailable) as error:
        log.warning("blob %s could not be read: %s", blob.id, error)
        return Report(0, 0, 1)
    await failpoint("workers.verify.after_read")
    async with db.begin() as tx:
        await guard.lock_owner(tx, blob.owner_id)
        mine = (Blob.id == blob.id, Blob.lease_token == blob.lease_token, Blob.content_status == "stored")
        if (await tx.execute(select(Blob.id).where(*mine))).scalar_one_or_none() is None:
            return Report(1, 0)
        if found == blob.fingerprint:
            # First: a merge would mix these files with those that were told of when the other blob was verified.
            await blobs.append_head_events(tx, blob.owner_id, blob.id, "file.verified")
            await blobs.mark_verified(tx, blob.owner_id, blob.id)
        else:
            await blobs.mark_quarantined(tx, blob.id, found)
            await blobs.append_head_events(tx, blob.owner_id, blob.id, "file.quarantined")
    return Report(1, 1)


async def _hash(store: ObjectStore, key: str) -> bytes:
    """Return the SHA-256 of an object."""
    digest = hashlib.sha256()
    async for block in store.read(key):
        digest.update(block)
    return digest.digest()


async def collect(db: Db, store: ObjectStore, settings: Settings) -> Report:
    """Delete blobs that nothing needs: mark first, look again and delete after the grace period.

    Reference first, object later: a URL that was handed out, or a database restored to yesterday, may still want it.
    """
    unwanted = func.now() - timedelta(seconds=settings.uploads.unplaced_ttl_s)
    referenced = select(Revision.id).where(Revision.blob_id == Blob.id).exists()
    idle = select(Blob.id, Blob.owner_id, Blob.size_bytes).where(
        Blob.unreferenced_at < unwanted, Blob.content_status != "deleting", ~referenced
    )
    async with db.read() as tx:
        marking = (await tx.execute(idle.order_by(Blob.unreferenced_at).limit(AT_ONCE))).all()
    done = failed = 0
    for row in marking:
        async with db.begin() as tx:
            await guard.lock_owner(tx, row.owner_id)
            unneeded = update(Blob).where(Blob.id == row.id, Blob.unreferenced_at < unwanted, ~referenced)
            marked = await tx.execute(
                unneeded.where(Blob.content_status != "deleting").values(
                    content_status="deleting", deleting_at=func.now()
                )
            )
            done += marked.rowcount
            if marked.rowcount:
                shrink = update(User).where(User.id == row.owner_id)
                await tx.execute(shrink.values(used_bytes=User.used_bytes - row.size_bytes))
    ripe = func.now() - timedelta(seconds=settings.worker.sweep_grace_s)
    dead = select(Blob.id, Blob.storage_key).where(
        Blob.content_status == "deleting", Blob.deleting_at < ripe, ~referenced
    )
    async with db.read() as tx:
        deleting = (await tx.execute(dead.limit(AT_ONCE))).all()
    for blob_id, storage_key in deleting:
        try:
            await store.delete(storage_key)
        except StoreError as error:
            failed += 1
            log.warning("blob %s could not be deleted: %s", blob_id, error)
            continue
        await failpoint("workers.collect.after_s3")
        async with db.begin() as tx:
            await tx.execute(_FORGET, {"id": blob_id})
        done += 1
    return Report(len(marking) + len(deleting), done, failed)


_FORGET = text("DELETE FROM blobs WHERE id = :id AND content_status = 'deleting'")


async def sweep(db: Db, store: ObjectStore, settings: Settings, *, dry_run: bool = False) -> Report:
    """Remove from S3 what no row knows, both kinds, once it is older than the grace period.

    An orphan is asked for twice: once for the listing, once more, against the database as it is now, right before it is
    removed.
    """
    oldest = datetime.now(UTC) - timedelta(seconds=settings.worker.sweep_grace_s)
    notes: list[str] = []
    found = done = 0
    async for upload in store.list_multiparts("blobs/"):
        if upload.initiated_at < oldest and not await _is_known_upload(db, upload.upload_id):
            found += 1
            notes.append(f"multipart upload {upload.key}")
            if not dry_run and not await _is_known_upload(db, upload.upload_id):
                await store.abort_multipart(upload.key, upload.upload_id)
                done += 1
    batch: list[str] = []
    async for item in store.list_objects("blobs/"):
        if item.last_modified < oldest:
            batch.append(item.key)
        if len(batch) == 500:
            orphans = await _unknown_objects(db, batch)
            batch = []
            found += len(orphans)
            done += await _delete_orphans(db, store, orphans, notes, dry_run=dry_run)
    orphans = await _unknown_objects(db, batch)
    found += len(orphans)
    done += await _delete_orphans(db, store, orphans, notes, dry_run=dry_run)
    return Report(found, done, notes=tuple(notes))


async def _is_known_upload(db: Db, s3_upload_id: str) -> bool:
    known = select(Upload.id).where(
        Upload.s3_upload_id == s3_upload_id, or_(text(LIVE_UPLOAD), Upload.leftover.is_(True))
    )
    async with db.read() as tx:
        return (await tx.execute(known)).first() is not None


async def _unknown_objects(db: Db, keys: list[str]) -> list[str]:
    """Return those of the keys that belong to no blob, no live session and no session still to be cleaned up."""
    if not keys:
        return []
    blobs = select(Blob.storage_key).where(Blob.storage_key.in_(keys))
    uploads = select(Upload.storage_key).where(
        Upload.storage_key.in_(keys), or_(text(LIVE_UPLOAD), Upload.leftover.is_(True))
    )
    async with db.read() as tx:
        known = set((await tx.execute(blobs)).scalars()) | set((await tx.execute(uploads)).scalars())
    return [key for key in keys if key not in known]


async def _delete_orphans(db: Db, store: ObjectStore, orphans: list[str], notes: list[str], *, dry_run: bool) -> int:
    notes.extend(f"object {key}" for key in orphans)
    if dry_run:
        return 0
    still = await _unknown_objects(db, orphans)
    for key in still:
        await store.delete(key)
    return len(still)


JOBS: Mapping[str, Job] = {
    "finish-stale": finish_stale,
    "finish-idle": finish_idle,
    "consume": consuming.consume,
    "relay": relay.relay,
    "publish": publishing.publish,
    "deliver": delivering.deliver,
    "verify": verify,
    "expire": expire,
    "discard": discard,
    "purge": purging.purge,
    "prune": purging.prune,
    "forget": purging.forget,
    "retain": retention.retain,
    "collect": collect,
    "sweep": sweep,
    "scrub": scrubbing.scrub,
}
