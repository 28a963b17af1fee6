"""Job `forget`: delete expired idempotency keys."""

from datetime import timedelta

from sqlalchemy import text

from dropbox_api.context import Services
from dropbox_api.workers import batches
from dropbox_api.workers.reports import Report

_DELETE_EXPIRED = text("""
    DELETE FROM idempotency_keys WHERE (user_id, key) IN (
        SELECT user_id, key FROM idempotency_keys WHERE created_at < now() - :ttl
        ORDER BY created_at LIMIT :limit FOR UPDATE SKIP LOCKED
    )
""").bindparams(ttl=timedelta())


async def forget_idempotency_keys(services: Services) -> Report:
    """Delete a batch of idempotency keys older than `http.idempotency_ttl_s`."""
    ttl = timedelta(seconds=services.settings.http.idempotency_ttl_s)
    async with services.db.begin() as tx:
        bound = {"ttl": ttl, "limit": batches.ROWS_PER_TRANSACTION}
        deleted = (await tx.execute(_DELETE_EXPIRED, bound)).rowcount
    return Report(deleted, deleted)
