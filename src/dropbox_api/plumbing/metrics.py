"""The metrics of `/metrics`, in the text format of Prometheus.

Each process counts its own requests, so scrape each process. Metrics of the database (uploads, content, outbox,
deliveries, tables, jobs) are read at each scrape, in one statement, and are equal in all processes. Labels are bounded:
route templates, methods, states, names of tables and jobs; never an id, a path or an address.
"""

import secrets
from typing import Any, NamedTuple

import orjson
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from sqlalchemy import Row, text

from dropbox_api import __version__, problems
from dropbox_api.db import Db
from dropbox_api.models import IS_FAR_BEHIND, LIVE_UPLOAD
from dropbox_api.plumbing.store_disk import StoreDisk
from dropbox_api.settings import Settings

CONTENT_TYPE = CONTENT_TYPE_LATEST

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)

OPEN_STATES = ("creating", "active", "completing")
CONTENT_STATES = ("stored", "verified", "quarantined", "damaged", "deleting")

EXACT_ROWS = 100_000
"""Counting more rows than this would read the whole table at every scrape: Postgres's estimate is taken instead."""


def count_rows_sql(table: str) -> str:
    """Return the SQL of a table's number of rows, above `EXACT_ROWS` an estimate."""
    return f"""(SELECT CASE WHEN reltuples > {EXACT_ROWS} THEN CAST(reltuples AS bigint)
            ELSE (SELECT count(*) FROM {table}) END
        FROM pg_class WHERE oid = CAST('{table}' AS regclass))"""


TOMBSTONES_AGE_SQL = "(SELECT extract(epoch FROM now() - min(deleted_at)) FROM tombstones)"

_COUNTS = text(f"""
    SELECT
        (SELECT coalesce(jsonb_object_agg(state, n), '{{}}') FROM (
            SELECT state, count(*) AS n FROM uploads WHERE {LIVE_UPLOAD} GROUP BY state
        ) u) AS uploads,
        (SELECT coalesce(jsonb_object_agg(content_status, jsonb_build_array(n, bytes)), '{{}}') FROM (
            SELECT content_status, count(*) AS n, sum(size_bytes) AS bytes FROM blobs
            WHERE content_status <> 'verified' GROUP BY content_status
        ) b) AS unverified,
        {count_rows_sql("blobs")} AS objects,
        {count_rows_sql("tombstones")} AS tombstones,
        coalesce({TOMBSTONES_AGE_SQL}, 0) AS tombstones_age_s,
        (SELECT CAST(coalesce(sum(used_bytes), 0) AS bigint) FROM users) AS used_bytes,
        (SELECT jsonb_build_array(
            count(*) FILTER (WHERE parked_at IS NULL), count(*) FILTER (WHERE parked_at IS NOT NULL),
            coalesce(extract(epoch FROM now() - min(created_at) FILTER (WHERE fanned_at IS NULL AND parked_at IS NULL)),
                     0),
            coalesce(extract(epoch FROM now() - min(created_at) FILTER (WHERE parked_at IS NULL)), 0)
        ) FROM outbox) AS outbox,
        (SELECT extract(epoch FROM epoch_started_at) FROM instance) AS data_epoch_at_s,
        (SELECT count(*) FROM deliveries WHERE state = 'pending') AS pending_deliveries,
        (SELECT count(*) FROM deliveries WHERE state = 'failed') AS failed_deliveries,
        (SELECT count(*) FROM webhooks WHERE failing_since IS NOT NULL AND disabled_at IS NULL) AS failing_webhooks,
        (SELECT count(*) FROM devices) AS devices,
        (SELECT count(*) FROM devices JOIN users ON users.id = user_id WHERE {IS_FAR_BEHIND}) AS devices_behind,
        (SELECT jsonb_object_agg(name, jsonb_build_array(rows, bytes)) FROM (
            SELECT CAST(coalesce(whole.inhparent, pg_class.oid) AS regclass) AS name,
                sum(greatest(reltuples, 0)) AS rows, sum(pg_total_relation_size(pg_class.oid)) AS bytes
            FROM pg_class LEFT JOIN pg_inherits whole ON inhrelid = pg_class.oid
            WHERE relkind = 'r' AND relnamespace = CAST(current_schema() AS regnamespace) GROUP BY 1
        ) t) AS tables,
        (SELECT coalesce(jsonb_object_agg(name, jsonb_build_array(
            extract(epoch FROM now() - finished_at), runs_total, done_total, failed_total, error IS NOT NULL
        )), '{{}}') FROM job_runs) AS jobs
""")


def is_scrape_allowed(settings: Settings, authorization: str) -> bool:
    """Tell whether a caller with this header may read the metrics. Without a configured token: in `dev` only."""
    token = settings.http.metrics_token
    if token is None:
        return settings.mode == "dev"
    expected = f"Bearer {token.get_secret_value()}"
    return secrets.compare_digest(authorization.encode(), expected.encode())


class ProcessGauges(NamedTuple):
    """What this process holds at the time of a scrape."""

    events_waiting: int
    streams_waiting: int
    connections_in_use: int
    store_disk: StoreDisk | None


class Metrics:
    """The metrics of one application, in its own registry: tests run several applications in one process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = self._counter("http_requests", "Requests answered.", "method", "route", "status")
        self._duration = Histogram(
            "dropbox_http_request_duration_seconds",
            "From the head of a request to the end of its response.",
            ("method", "route"),
            buckets=_BUCKETS_S,
            registry=self._registry,
        )
        self._bytes = self._counter("http_bytes", "Bytes of bodies that passed through the API.", "direction")
        self.in_flight = self._gauge("http_requests_in_flight", "Requests being answered, including waiting ones.")
        self._waiting = self._gauge("events_waiting", "Long polls and streams that wait for events.")
        self._streams_waiting = self._gauge("streams_waiting", "Transfers through the API that wait for a slot.")
        self._pool = self._gauge("database_connections_in_use", "Connections of the pool in use.")
        self._database_up = self._gauge("database_up", "Whether the database answered this scrape.")
        self._store_disk = self._gauge("store_disk_bytes", "Size and free space of the store's disk.", "kind")
        self._uploads = self._gauge("uploads_open", "Open upload sessions.", "state")
        self._blobs = self._gauge("content_objects", "Stored objects.", "status")
        self._blob_bytes = self._gauge("content_bytes", "Bytes of stored objects.", "status")
        self._outbox = self._gauge("outbox_rows", "Changes not yet relayed, published and delivered.")
        self._parked = self._gauge(
            "outbox_parked_rows", "Changes that are no longer retried: relaying them failed too often."
        )
        self._lag = self._gauge("relay_lag_seconds", "Age of the oldest change that is not relayed yet.")
        self._publish_lag = self._gauge("outbox_oldest_seconds", "Age of the oldest change in the outbox.")
        self._data_epoch = self._gauge(
            "data_epoch_start_time_seconds", "When the data epoch began: the last restore or failover of the database."
        )
        self._deliveries = self._gauge("deliveries", "Messages to webhooks.", "state")
        self._failing = self._gauge("webhooks_failing", "Webhooks whose last delivery failed.")
        self._tombstones = self._gauge("tombstones", "Ids of deleted nodes that are kept for clients.")
        self._tombstones_age = self._gauge("tombstones_oldest_seconds", "Age of the oldest of them.")
        self._devices = self._gauge("devices", "Devices that report to an account.")
        self._devices_behind = self._gauge(
            "devices_far_behind", "Devices that reported within a day and have more than 10,000 events to read."
        )
        self._table_rows = self._gauge("table_rows", "Rows of the table, as Postgres estimates them.", "table")
        self._table_bytes = self._gauge("table_bytes", "Bytes of the table with its indexes.", "table")
        self._job_age = self._gauge(
            "job_last_success_age_seconds", "Time since the last successful run of the job.", "job"
        )
        self._job_failing = self._gauge("job_failing", "Whether the job's last run ended with an error.", "job")
        self._job_totals = {
            name: self._gauge(f"job_{name}", f"Of all runs of all workers ({name}); only grows.", "job")
            for name in ("runs", "done", "failed")
        }
        self._gauge("info", "The version of the server.", "version").labels(__version__).set(1)

    def _gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        return Gauge(f"dropbox_{name}", meaning, labels, registry=self._registry)

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(f"dropbox_{name}", meaning, labels, registry=self._registry)

    def count(
        self, method: str, route: str, status: int, duration_s: float, *, received_bytes: int, sent_bytes: int
    ) -> None:
        """Count a request. `route` is a template; `status` 0 means that it ended without a response."""
        method = method if method in _METHODS else "other"
        self._requests.labels(method, route, str(status) if status else "none").inc()
        self._duration.labels(method, route).observe(duration_s)
        self._bytes.labels("in").inc(received_bytes)
        self._bytes.labels("out").inc(sent_bytes)

    async def scrape(self, db: Db, gauges: ProcessGauges) -> bytes:
        """Return all metrics as text; metrics of the database keep their values while it does not answer."""
        self._waiting.set(gauges.events_waiting)
        self._streams_waiting.set(gauges.streams_waiting)
        self._pool.set(gauges.connections_in_use)
        if gauges.store_disk is not None:
            self._store_disk.labels("total").set(gauges.store_disk.total_bytes)
            self._store_disk.labels("free").set(gauges.store_disk.free_bytes)
        try:
            async with db.read() as tx:
                self._set_counts((await tx.execute(_COUNTS)).one())
            self._database_up.set(1)
        except problems.Unavailable:
            self._database_up.set(0)
        return generate_latest(self._registry)

    def _set_counts(self, counts: Row[Any]) -> None:
        uploads, content, outbox, tables, jobs = (
            orjson.loads(value) if isinstance(value, str) else value
            for value in (counts.uploads, counts.unverified, counts.outbox, counts.tables, counts.jobs)
        )
        # `used_bytes` counts every object that is not being deleted (I4).
        charged = sum(size_bytes for status, (_, size_bytes) in content.items() if status != "deleting")
        unverified = sum(count for count, _ in content.values())
        content["verified"] = max(counts.objects - unverified, 0), max(counts.used_bytes - charged, 0)
        for state in OPEN_STATES:
            self._uploads.labels(state).set(uploads.get(state, 0))
        for status in CONTENT_STATES:
            count, size_bytes = content.get(status, (0, 0))
            self._blobs.labels(status).set(count)
            self._blob_bytes.labels(status).set(size_bytes)
        depth, parked, lag_s, oldest_s = outbox
        self._outbox.set(depth)
        self._parked.set(parked)
        self._lag.set(lag_s)
        self._publish_lag.set(oldest_s)
        self._data_epoch.set(counts.data_epoch_at_s)
        self._deliveries.labels("pending").set(counts.pending_deliveries)
        self._deliveries.labels("failed").set(counts.failed_deliveries)
        self._failing.set(counts.failing_webhooks)
        self._tombstones.set(counts.tombstones)
        self._tombstones_age.set(counts.tombstones_age_s)
        self._devices.set(counts.devices)
        self._devices_behind.set(counts.devices_behind)
        for name, (rows, size_bytes) in tables.items():
            self._table_rows.labels(name).set(rows)
            self._table_bytes.labels(name).set(size_bytes)
        for name, (age_s, runs, done, failed, is_failing) in jobs.items():
            if age_s is not None:
                self._job_age.labels(name).set(age_s)
            self._job_failing.labels(name).set(is_failing)
            for total, value in zip(("runs", "done", "failed"), (runs, done, failed), strict=True):
                self._job_totals[total].labels(name).set(value)
