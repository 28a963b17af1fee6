"""Checks of `dropbox-api doctor`: whether workers run, and what an operator must repair."""

from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import text

from dropbox_api.db import Db
from dropbox_api.models import IS_FAR_BEHIND
from dropbox_api.plumbing.epoch import InstanceRow, read_instance
from dropbox_api.plumbing.metrics import TOMBSTONES_AGE_SQL, count_rows_sql
from dropbox_api.plumbing.store_disk import read_store_disk
from dropbox_api.render.subprocess import CannotRenderError, has_libraries, probe
from dropbox_api.settings import Settings

MAX_LAG_S = 60
DAY_S = 24 * 3600
MAKE_ROOM = "make room: see docs/operations.md, When the store is full"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check."""

    is_good: bool
    message: str
    remedy: str
    """What the operator should do about a bad result."""


_STATUS = text(f"""
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
        (SELECT count(*) FROM blobs WHERE content_status = 'quarantined') AS quarantined,
        {count_rows_sql("tombstones")} AS tombstones,
        {TOMBSTONES_AGE_SQL} AS tombstones_age_s,
        (SELECT count(*) FROM users WHERE purge_at IS NOT NULL AND deleted_at IS NULL) AS in_deletion,
        (SELECT count(*) FROM users
            WHERE purge_at < now() - interval '14 days' AND deleted_at IS NULL) AS overdue_deletions,
        (SELECT count(*) FROM devices) AS devices,
        (SELECT count(*) FROM devices JOIN users ON users.id = user_id WHERE {IS_FAR_BEHIND}) AS far_behind
""")


@dataclass(frozen=True, slots=True)
class Status:
    """One row of `_STATUS`."""

    version: str
    extensions: str | None
    database_bytes: int
    worker_age_s: Decimal | None
    """Time since the last run of any job; None when no job has ever run."""
    failing_jobs: str | None
    lag_s: Decimal | None
    """Age of the oldest change that is not relayed; None without such a change."""
    parked: int
    failure: str | None
    """The error of one parked change."""
    failing_webhooks: int
    damaged: int
    quarantined: int
    tombstones: int
    tombstones_age_s: Decimal | None
    """Age of the oldest tombstone; None without any."""
    in_deletion: int
    """Accounts whose deletion was requested."""
    overdue_deletions: int
    devices: int
    far_behind: int
    """Devices that report, and yet have many events to read."""


async def diagnose(db: Db, settings: Settings) -> list[Finding]:
    """Return the results of all checks, good and bad. Raises Unavailable."""
    async with db.read() as tx:
        status = Status(*(await tx.execute(_STATUS)).one())
    is_new = int(status.version.split(".")[0]) >= 18
    instance = await read_instance(db)
    idle_s = max(60.0, 3 * settings.worker.interval_s)
    age_s, lag_s = status.worker_age_s, float(status.lag_s or 0)
    seen = "none has ever run" if age_s is None else f"last run {age_s:.0f} s ago"
    size = f"{status.database_bytes / 1024**3:.2f} GiB"
    webhooks = f"webhooks: {status.failing_webhooks} fail for more than an hour"
    oldest_s = float(status.tombstones_age_s or 0)
    disk = read_store_disk(settings)
    space = [] if disk is None else [Finding(not disk.is_low, f"disk of the store: {disk}", MAKE_ROOM)]
    return [
        *space,
        await _check_thumbnails(settings),
        Finding(
            is_new,
            f"Postgres {status.version}, {size}, extensions {status.extensions}",
            "the server is tested with Postgres 18",
        ),
        Finding(True, _describe_epoch(instance), ""),
        Finding(age_s is not None and age_s < idle_s, f"workers: {seen}", "start `dropbox-api worker`"),
        Finding(not status.failing_jobs, f"jobs: {status.failing_jobs or 'none fails'}", "read the worker's log"),
        Finding(lag_s < MAX_LAG_S, f"relay: {lag_s:.0f} s behind", "start a worker, or read its log"),
        Finding(
            not status.parked,
            f"relay: {status.parked} changes parked{f' ({status.failure})' if status.failure else ''}",
            "see docs/operations.md, When something is wrong",
        ),
        Finding(
            not status.failing_webhooks,
            webhooks,
            "their users see the reason; if all of them fail, check this host's firewall",
        ),
        Finding(
            not status.damaged,
            f"content: {status.damaged} objects damaged, {status.quarantined} quarantined",
            "check the store's disks; restore the objects from its copy, then `dropbox-api worker --once scrub`",
        ),
        Finding(
            oldest_s < settings.events.retention_s + DAY_S,
            f"tombstones: {status.tombstones}, the oldest is {oldest_s / DAY_S:.0f} days old",
            "run `dropbox-api worker --once retain`, or read the worker's log",
        ),
        Finding(
            not status.overdue_deletions,
            f"accounts: {status.in_deletion} in deletion, {status.overdue_deletions} overdue for 14 days",
            "run `dropbox-api worker --once delete-accounts`, then `--once purge`, or read the worker's log",
        ),
        Finding(
            not status.far_behind,
            f"devices: {status.devices}, {status.far_behind} far behind",
            "they report but do not read their events: their users see why in the client's log",
        ),
    ]


async def _check_thumbnails(settings: Settings) -> Finding:
    if not settings.thumbnails.enabled:
        return Finding(True, "thumbnails: switched off", "")
    if not has_libraries():
        return Finding(True, "thumbnails: none are made on this machine: the extra `thumbnails` is not installed", "")
    try:
        confinement = await probe(settings.thumbnails)
    except CannotRenderError as error:
        return Finding(
            False, f"thumbnails: {error}", "install the extra `thumbnails` again; look at the machine's limits"
        )
    remedy = "allow user namespaces, or Landlock with network rules (Linux 6.7), to the worker"
    return Finding(confinement.is_confined, f"thumbnails: decoders confined by {confinement}", remedy)


def _describe_epoch(instance: InstanceRow) -> str:
    origin = "restored or failed over" if instance.is_restored else "the first one"
    epoch = f"data epoch: {instance.data_epoch}, {origin}, since {instance.epoch_started_at:%Y-%m-%d %H:%M} UTC"
    if instance.is_identified:
        return epoch
    return f"{epoch}; Postgres does not show its identity: run `dropbox-api restored` after every restore"
