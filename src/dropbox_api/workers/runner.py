"""The runner: runs every job forever, each on its schedule. A failed run is logged, and the job runs again later."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from dropbox_api import problems
from dropbox_api.context import Services
from dropbox_api.db import Db
from dropbox_api.events.wakeup import Wakeup
from dropbox_api.plumbing import failpoints
from dropbox_api.plumbing.store_config import read_s3_config
from dropbox_api.settings import Settings
from dropbox_api.storage.object_store import StoreError
from dropbox_api.storage.s3 import S3Store
from dropbox_api.workers.jobs import JOBS
from dropbox_api.workers.reports import Report
from dropbox_api.workers.runs import Runs
from dropbox_api.workers.schedule import Schedule, ScheduledJob

log = logging.getLogger(__name__)


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """Connect the database and the object store for jobs."""
    failpoints.arm(settings.failpoints)
    async with AsyncExitStack() as stack:
        db = Db.connect(settings.database)
        stack.push_async_callback(db.close)
        store = await stack.enter_async_context(S3Store.open(read_s3_config(settings)))
        services = Services(db, store, settings)
        stack.push_async_callback(services.tasks.close)
        yield services


async def run_once(settings: Settings, name: str) -> Report:
    """Run one job once and return its report. Raises KeyError for an unknown job."""
    job = JOBS[name]
    async with open_services(settings) as services:
        wakeup = await Wakeup.start(services.db, settings)
        try:
            return await Runs(services.db).run(name, lambda: job.run(services))
        finally:
            await wakeup.stop()


async def run_forever(settings: Settings) -> None:
    """Run every job until cancelled."""
    async with open_services(settings) as services:
        worker = Worker(services, await Wakeup.start(services.db, settings), Runs(services.db))
        try:
            async with asyncio.TaskGroup() as group:
                for name, job in JOBS.items():
                    group.create_task(worker.repeat(name, job), name=name)
        finally:
            await worker.wakeup.stop()


@dataclass(frozen=True, slots=True)
class Worker:
    services: Services
    wakeup: Wakeup
    runs: Runs

    async def repeat(self, name: str, job: ScheduledJob) -> None:
        """Run one job forever."""
        settings = self.services.settings.worker
        interval_s = settings.sweep_interval_s if job.schedule is Schedule.SWEEP else settings.interval_s
        seen: int | None = None
        while True:
            # Jitter, so that several workers do not poll at the same time.
            pause_s = interval_s * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
            if job.schedule is Schedule.ON_CHANGE:
                seen = await self.wakeup.wait_for_change(pause_s, seen)
            else:
                await asyncio.sleep(pause_s)
            try:
                await self._run_while_busy(name, job)
            except (problems.Problem, StoreError) as error:
                log.warning("%s: %s", name, error)
            except Exception:
                log.exception("%s failed", name)

    async def _run_while_busy(self, name: str, job: ScheduledJob) -> None:
        """Run a job until a run does nothing; a job on the sweep's schedule runs once."""
        while (report := await self.runs.run(name, lambda: job.run(self.services))).done:
            log.info("%s: found %d, done %d, failed %d", name, report.found, report.done, report.failed)
            for note in report.notes if job.logs_notes else ():
                log.warning("%s: %s", name, note)
            if job.makes_work:
                self.wakeup.notify(())
            if job.schedule is Schedule.SWEEP:
                break
