"""How the work stands, for `dropbox-api doctor`: whether workers run, and what needs a person."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from dropbox_api.db import Db
from dropbox_api.settings import Settings

MAX_LAG_S = 60


@dataclass(frozen=True, slots=True)
class Finding:
    is_good: bool
    said: str
    remedy: str
    """What to do where it is not good."""


_LOOK = text("""
    SELECT
        current_setting('server_version') AS version,
        (SELECT string_agg(extname, ', ' ORDER BY extname) FROM pg_extension) AS extensions,
        (SELECT pg_database_size(current_database())) AS database_bytes,
        (SELECT extract(epoch FROM now() - max(coalesce(finished_at, started_at))) FROM job_runs) AS worker_age_s,
        (SELECT string_agg(name || ' (' || error || ')', ', ' ORDER BY name) FROM job_runs WHERE error IS NOT NULL)
            AS failing_jobs,
        (SELECT extract(epoch FROM now() - min(created_at)) FROM outbox WHERE parked_at IS NULL) AS lag_s,
        (SELECT count(*) FROM outbox WHERE parked_at IS NOT NULL) AS parked,
        (SELECT min(failure) FROM outbox WHERE parked_at IS NOT NULL) AS failure,
        (SELECT count(*) FROM webhooks WHERE disabled_at IS NULL AND failing_since < now() - interval '1 hour')
            AS failing_webhooks,
        (SELECT count(*) FROM blobs WHERE content_status = 'damaged') AS damaged,
        (SELECT count(*) FROM blobs WHERE content_status = 'quarantined') AS quarantined
""")


async def look(db: Db, settings: Settings) -> list[Finding]:
    """Return what was looked at, good and bad. Raises Unavailable."""
    async with db.read() as tx:
        found: Any = (await tx.execute(_LOOK)).one()
    is_new = int(found.version.split(".")[0]) >= 18
    idle_s = max(60.0, 3 * settings.worker.interval_s)
    age_s, lag_s = found.worker_age_s, float(found.lag_s or 0)
    seen = "none was ever seen" if age_s is None else f"last seen {age_s:.0f} s ago"
    size = f"{found.database_bytes / 1024**3:.2f} GiB"
    webhooks = f"webhooks: {found.failing_webhooks} fail for more than an hour"
    return [
        Finding(is_new, f"Postgres {found.version}, {size}, extensions {found.extensions}", "we are tested with 18"),
        Finding(age_s is not None and age_s < idle_s, f"workers: {seen}", "start `dropbox-api worker`"),
        Finding(not found.failing_jobs, f"jobs: {found.failing_jobs or 'none fails'}", "look at the worker's log"),
        Finding(lag_s < MAX_LAG_S, f"relay: {lag_s:.0f} s behind", "start a worker, or look at its log"),
        Finding(
            not found.parked,
            f"relay: {found.parked} changes put aside{f' ({found.failure})' if found.failure else ''}",
            "see docs/operations.md, When something is wrong",
        ),
        Finding(not found.failing_webhooks, webhooks, "their users see why; a firewall of ours if it is all of them"),
        Finding(
            not found.damaged,
            f"content: {found.damaged} objects damaged, {found.quarantined} in quarantine",
            "look at the store's disks; restore the objects from its copy, then `dropbox-api worker --once scrub`",
        ),
    ]
