"""Run the jobs for ever, each on its own clock; a job that fails is logged and tried again later."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from dropbox_api import problems
from dropbox_api.db import Db
from dropbox_api.plumbing import failpoints
from dropbox_api.plumbing.stores import s3_config
from dropbox_api.settings import Settings
from dropbox_api.storage.object_store import StoreError
from dropbox_api.storage.s3 import S3Store
from dropbox_api.uploads import finishing
from dropbox_api.workers.jobs import JOBS
from dropbox_api.workers.reports import Job, Report

log = logging.getLogger(__name__)

SLOW_JOBS = {"prune", "sweep"}
"""On the clock of the sweep: one run does all there is to do."""


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[tuple[Db, S3Store]]:
    """Yield what jobs work on."""
    failpoints.arm(settings.failpoints)
    db = Db.connect(settings.database)
    try:
        async with S3Store.open(s3_config(settings)) as store:
            yield db, store
    finally:
        await finishing.stop()
        await db.close()


async def run_once(settings: Settings, name: str) -> Report:
    """Run one job once and return its report. Raises KeyError for a job that does not exist."""
    async with connected(settings) as (db, store):
        return await JOBS[name](db, store, settings)


async def run_forever(settings: Settings) -> None:
    """Run every job until cancelled."""
    async with connected(settings) as (db, store), asyncio.TaskGroup() as group:
        for name, job in JOBS.items():
            pause_s = settings.worker.sweep_interval_s if name in SLOW_JOBS else settings.worker.interval_s
            group.create_task(_repeat(name, job, pause_s, db, store, settings), name=name)


async def _repeat(name: str, job: Job, pause_s: float, db: Db, store: S3Store, settings: Settings) -> None:
    while True:
        # Jitter, so that several workers do not ask in step.
        await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
        try:
            while (report := await job(db, store, settings)).done:
                log.info("%s: found %d, done %d, failed %d", name, report.found, report.done, report.failed)
                if name in SLOW_JOBS:
                    break
        except (problems.Problem, StoreError) as error:
            log.warning("%s: %s", name, error)
        except Exception:
            log.exception("%s failed", name)
