"""Record the runs of jobs in `job_runs`, from where `doctor` and `/metrics` read them.

Jobs poll every few seconds and mostly find no work, so runs are recorded in groups: a run with work within a second or
with the next run, runs without work every ten seconds.
"""

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import text

from dropbox_api import problems
from dropbox_api.db import Db
from dropbox_api.workers.reports import Report

log = logging.getLogger(__name__)

IDLE_PAUSE_S = 10.0
BUSY_PAUSE_S = 1.0
_MAX_ERROR_CHARS = 300

_RECORD = text("""
    INSERT INTO job_runs AS known (name, started_at, finished_at, found, done, failed, error,
                                   runs_total, done_total, failed_total)
    VALUES (:name, :started_at, CASE WHEN CAST(:error AS text) IS NULL THEN now() END, :found, :done, :failed, :error,
            :runs_total, :done_total, :failed_total)
    ON CONFLICT (name) DO UPDATE SET
        started_at = excluded.started_at, finished_at = coalesce(excluded.finished_at, known.finished_at),
        found = excluded.found, done = excluded.done, failed = excluded.failed, error = excluded.error,
        runs_total = known.runs_total + excluded.runs_total, done_total = known.done_total + excluded.done_total,
        failed_total = known.failed_total + excluded.failed_total
""")
"""`finished_at` is the end of the last run that returned. A run that raised sets `error` instead."""


@dataclass(slots=True)
class _Unrecorded:
    """Counts of one job's runs since the last write."""

    written_at_s: float = float("-inf")
    runs: int = 0
    done: int = 0
    failed: int = 0


class Runs:
    """Runs and records the jobs of this process. One per process."""

    def __init__(self, db: Db) -> None:
        self._db = db
        self._unrecorded: dict[str, _Unrecorded] = {}

    async def run(self, name: str, job: Callable[[], Awaitable[Report]]) -> Report:
        """Run a job once, record the run, and return its report. Raises as the job does."""
        began_at = datetime.now(UTC)
        try:
            report = await job()
        except Exception as error:
            message = " ".join(f"{type(error).__name__}: {error}".split())[:_MAX_ERROR_CHARS]
            await self._record(name, began_at, Report(0, 0, 1), message)
            raise
        await self._record(name, began_at, report, None)
        return report

    async def _record(self, name: str, began_at: datetime, report: Report, error: str | None) -> None:
        unrecorded = self._unrecorded.setdefault(name, _Unrecorded())
        unrecorded.runs += 1
        unrecorded.done += report.done
        unrecorded.failed += report.failed
        pause_s = BUSY_PAUSE_S if unrecorded.done or unrecorded.failed else IDLE_PAUSE_S
        if time.monotonic() - unrecorded.written_at_s < pause_s:
            return
        row: dict[str, Any] = {
            "name": name,
            "started_at": began_at,
            "found": report.found,
            "done": report.done,
            "failed": report.failed,
            "error": error,
            "runs_total": unrecorded.runs,
            "done_total": unrecorded.done,
            "failed_total": unrecorded.failed,
        }
        try:
            async with self._db.begin() as tx:
                await tx.execute(_RECORD, row)
        except problems.Unavailable:
            return  # the next run's record includes it
        self._unrecorded[name] = _Unrecorded(time.monotonic())
