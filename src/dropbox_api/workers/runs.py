"""What runs of jobs leave behind in `job_runs`: for `doctor` and `/metrics`, whichever process ran them.

Cheaply: jobs look for work every few seconds and mostly find none. What was done is written within a second or with the
next run, that nothing was done every ten seconds.
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

QUIET_S = 10.0
BUSY_S = 1.0
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
"""`finished_at` is of the last run that came to its end: one that raised leaves it as it was, and says why."""


@dataclass(slots=True)
class _Untold:
    written_at_s: float = float("-inf")
    runs: int = 0
    done: int = 0
    failed: int = 0


class Runs:
    """Runs of this process' jobs. One per process."""

    def __init__(self, db: Db) -> None:
        self._db = db
        self._untold: dict[str, _Untold] = {}

    async def run(self, name: str, job: Callable[[], Awaitable[Report]]) -> Report:
        """Run a job once, write down what came of it, and return its report; raises what the job raises."""
        began_at = datetime.now(UTC)
        try:
            report = await job()
        except Exception as error:
            said = " ".join(f"{type(error).__name__}: {error}".split())[:_MAX_ERROR_CHARS]
            await self._note(name, began_at, Report(0, 0, 1), said)
            raise
        await self._note(name, began_at, report, None)
        return report

    async def _note(self, name: str, began_at: datetime, report: Report, error: str | None) -> None:
        untold = self._untold.setdefault(name, _Untold())
        untold.runs += 1
        untold.done += report.done
        untold.failed += report.failed
        pause_s = BUSY_S if untold.done or untold.failed else QUIET_S
        if time.monotonic() - untold.written_at_s < pause_s:
            return
        row: dict[str, Any] = {
            "name": name,
            "started_at": began_at,
            "found": report.found,
            "done": report.done,
            "failed": report.failed,
            "error": error,
            "runs_total": untold.runs,
            "done_total": untold.done,
            "failed_total": untold.failed,
        }
        try:
            async with self._db.begin() as tx:
                await tx.execute(_RECORD, row)
        except problems.Unavailable:
            return  # it goes with the next
        self._untold[name] = _Untold(time.monotonic())
