"""Run the jobs for ever, each on its own clock; a job that fails is logged and tried again later.

What carries news onward (`relay`, `publish`, `deliver`) runs as soon as something was written into a journal, by
whichever process; its clock is for what nobody heard of.
"""

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from dropbox_api import problems
from dropbox_api.db import Db
from dropbox_api.events.wakeup import Wakeup
from dropbox_api.plumbing import failpoints
from dropbox_api.plumbing.store_config import read_s3_config
from dropbox_api.settings import Settings
from dropbox_api.storage.object_store import ObjectStore, StoreError
from dropbox_api.storage.s3 import S3Store
from dropbox_api.uploads import complete
from dropbox_api.workers.jobs import JOBS
from dropbox_api.workers.reports import Job, Report
from dropbox_api.workers.runs import Runs

log = logging.getLogger(__name__)

PROMPT_JOBS = {"relay", "publish", "deliver"}
SLOW_JOBS = {"prune", "retain", "scrub", "sweep"}
"""On the clock of the sweep: one run does all there is to do."""


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[tuple[Db, ObjectStore]]:
    """Yield what jobs work on."""
    failpoints.arm(settings.failpoints)
    db = Db.connect(settings.database)
    try:
        async with S3Store.open(read_s3_config(settings)) as store:
            yield db, store
    finally:
        await complete.cancel_assemblies()
        await db.close()


async def run_once(settings: Settings, name: str) -> Report:
    """Run one job once and return its report. Raises KeyError for a job that does not exist."""
    job = JOBS[name]
    async with connected(settings) as (db, store):
        wakeup = await Wakeup.start(db, settings)
        try:
            return await Runs(db).run(name, lambda: job(db, store, settings))
        finally:
            await wakeup.stop()


async def run_forever(settings: Settings) -> None:
    """Run every job until cancelled."""
    async with connected(settings) as (db, store):
        worker = Worker(settings, db, store, await Wakeup.start(db, settings), Runs(db))
        try:
            async with asyncio.TaskGroup() as group:
                for name, job in JOBS.items():
                    group.create_task(worker.repeat(name, job), name=name)
        finally:
            await worker.wakeup.stop()


@dataclass(frozen=True, slots=True)
class Worker:
    settings: Settings
    db: Db
    store: ObjectStore
    wakeup: Wakeup
    runs: Runs

    async def repeat(self, name: str, job: Job) -> None:
        """Run one job for ever."""
        slow = name in SLOW_JOBS
        clock_s = self.settings.worker.sweep_interval_s if slow else self.settings.worker.interval_s
        seen: int | None = None
        while True:
            # Jitter, so that several workers do not ask in step.
            pause_s = clock_s * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
            if name in PROMPT_JOBS:
                seen = await self.wakeup.anything(pause_s, seen)
            else:
                await asyncio.sleep(pause_s)
            try:
                while (report := await self._run(name, job)).done:
                    log.info("%s: found %d, done %d, failed %d", name, report.found, report.done, report.failed)
                    for note in report.notes if name == "scrub" else ():
                        log.warning("%s: %s", name, note)
                    if name == "relay":  # there may be something to publish and to deliver now, here or elsewhere
                        self.wakeup.notify(())
                    if slow:
                        break
            except (problems.Problem, StoreError) as error:
                log.warning("%s: %s", name, error)
            except Exception:
                log.exception("%s failed", name)

    async def _run(self, name: str, job: Job) -> Report:
        return await self.runs.run(name, lambda: job(self.db, self.store, self.settings))
