"""The kill matrix: every failpoint with every action, at the first attempt and at the repeated one.

After a process died at a failpoint, the client repeats, a worker finishes, and the file exists exactly once.
`make test` kills once at every failpoint; FAULTS=long runs the whole matrix.
"""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Literal

import httpx2
import pytest
from sqlalchemy import text

from dropbox_api.context import Services
from dropbox_api.db import Db
from dropbox_api.settings import Settings
from dropbox_api.storage.object_store import ObjectStore
from dropbox_api.storage.s3 import S3Config
from dropbox_api.workers import runner
from dropbox_api.workers.finish import finish_stale_uploads
from tests.support.journeys import (
    AND_INTERNAL,
    CHUNK,
    Abort,
    Batch,
    Compressed,
    Copy,
    CopyAcross,
    DeleteAccount,
    Edit,
    Journey,
    LinkUpload,
    Photo,
    Prune,
    Purge,
    RefusedUpload,
    RequestFailed,
    Reuse,
    Rot,
    Stream,
    Upload,
    age_rows,
    check_all,
    settle,
)
from tests.support.process import ApiProcess, environment, run_job, running_process
from tests.support.server import make_settings, migrated_database
from tests.support.source import failpoints
from tests.support.stack import prepare_bucket

LONG = os.environ.get("FAULTS") == "long"
LEASE_S = 1.2
DELAY_S = 2.0
"""Longer than the lease: another process takes over, and the delayed one continues afterwards."""

Action = Literal["raise", "kill", "delay"]
Resumer = Literal["client", "worker"]

IN_API: dict[str, Callable[[str], Journey]] = {
    "uploads.start.after_t1": Upload,
    "uploads.start.after_lease": Upload,
    "uploads.start.after_s3": Upload,
    "uploads.start.after_t2": Upload,
    "uploads.reconcile.after_list": Upload,
    "uploads.bind.after_t1": lambda seed: Upload(seed, late=True),
    "uploads.complete.after_t1": Upload,
    "uploads.complete.after_s3": Upload,
    "uploads.complete.after_head": Upload,
    "uploads.complete.after_t2": Upload,
    "uploads.complete.after_head_single": lambda seed: Upload(seed, size_bytes=1_000),
    "uploads.abort.after_t1": Abort,
    "uploads.list_chunks.after_t1": Reuse,
    # Small: a client that is still sending when the answer comes may see the connection break instead.
    "uploads.stream.after_t1": lambda seed: Stream(seed, size_bytes=1_000),
    "uploads.stream.after_s3": Stream,
    "uploads.stream.after_t2": Stream,
    "files.copy.before_commit": Copy,
    "files.batch.after_owner": Batch,
    "deletion.request.after_commit": DeleteAccount,
}
"""Failpoint -> a journey that reaches it."""

IN_WORKER: dict[str, tuple[str, Callable[[str], Journey]]] = {
    "workers.discard.after_s3": ("discard", Abort),
    "workers.reuse.after_claim": ("reuse", Reuse),
    "workers.reuse.after_s3": ("reuse", Reuse),
    "workers.reuse.after_record": ("reuse", Reuse),
    "workers.decode.after_s3": ("decode", Compressed),
    "workers.decode.after_record": ("decode", Compressed),
    "workers.copy.after_s3": ("copy", CopyAcross),
    "workers.copy.after_content": ("copy", CopyAcross),
    "workers.copy.before_commit": ("copy", CopyAcross),
    "workers.thumbnails.after_s3": ("thumbnails", Photo),
    "workers.verify.after_read": ("verify", Upload),
    "workers.collect.after_s3": ("collect", RefusedUpload),
    "workers.delete_accounts.after_start": ("delete-accounts", DeleteAccount),
    "workers.delete_accounts.after_batch": ("delete-accounts", DeleteAccount),
    "workers.purge.after_mark": ("purge", Purge),
    "workers.purge.after_batch": ("purge", Purge),
    "workers.prune.after_batch": ("prune", Prune),
    "workers.scrub.after_read": ("scrub", Rot),
    "workers.scrub.after_mark": ("scrub", Rot),
    "workers.scrub.after_s3": ("scrub", Rot),
    "workers.relay.after_fan_out": ("relay", lambda seed: Stream(seed, size_bytes=1_000)),
}
"""Failpoint -> the job that reaches it, and a journey that gives the job work."""

LINK_IN_API = [
    "uploads.start.after_t1",
    *(["uploads.start.after_lease", "uploads.start.after_s3", "uploads.start.after_t2"] if LONG else []),
    "uploads.sign.after_record",
    "uploads.reconcile.after_list",
    "uploads.complete.after_t1",
]
LINK_IN_WORKER = [
    "uploads.complete.after_s3",
    *(["uploads.complete.after_head"] if LONG else []),
    "uploads.complete.after_t2",
]
"""The failpoints that a session under a link meets in order, before and after all has arrived."""

ELSEWHERE = {"workers.publish.after_send", "workers.deliver.after_send"}
"""They need a receiver: integration/test_relay.py."""

WORKER_RESUMES = {"uploads.complete.after_t1", "uploads.complete.after_s3", "uploads.complete.after_head"}
"""Failpoints at which a killed process leaves a session that a worker finishes without the client."""


def test_failpoints_in_the_source_are_exactly_those_tested() -> None:
    assert failpoints() == IN_API.keys() | IN_WORKER.keys() | {*LINK_IN_API} | ELSEWHERE


@dataclass
class World:
    """A database and a bucket of this module, and a healthy API."""

    variables: dict[str, str]
    settings: Settings
    db: Db
    store: ObjectStore
    api: ApiProcess

    @property
    def services(self) -> Services:
        return Services(self.db, self.store, self.settings)

    async def check(self, journey: Journey) -> None:
        await settle(self.db, self.store, self.settings)
        await journey.check(self.api.url, self.db)
        await check_all(self.db, self.store)


@pytest.fixture(scope="module")
async def world(postgres_url: str, s3_config: S3Config) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(migrated_database(postgres_url))
        s3 = await prepare_bucket(replace(s3_config, bucket="failpoints"))
        lease = {
            "uploads": {"lease_s": LEASE_S, "single_max_bytes": CHUNK},
            "worker": {"verify_lease_s": LEASE_S, "sweep_grace_s": 0, "scrub_days": 1e-6},
        }
        settings = make_settings(url, s3, **lease)
        variables = environment(
            url,
            s3,
            UPLOADS__LEASE_S=str(LEASE_S),
            UPLOADS__SINGLE_MAX_BYTES=str(CHUNK),
            WORKER__VERIFY_LEASE_S=str(LEASE_S),
            WORKER__SWEEP_GRACE_S="0",
            WORKER__SCRUB_DAYS="0.000001",
            AUTH__DELETION_GRACE_S="0",
        )
        services = await stack.enter_async_context(runner.open_services(settings))
        api = await stack.enter_async_context(running_process(variables))
        yield World(variables, settings, services.db, services.store, api)


async def expose(journey: Journey, api: ApiProcess, action: Action) -> bool:
    """Make one attempt at a process with an armed failpoint; return whether the failpoint fired."""
    if action == "delay":
        both = await asyncio.gather(journey.persist(api.url), journey.persist(api.url), return_exceptions=True)
        failures = [failure for failure in both if failure]
        assert not failures, failures
        return True
    try:
        await journey.attempt(api.url)
    except httpx2.TransportError:
        return action == "kill" and await api.wait_for_exit() == -9
    except RequestFailed as failure:
        if (action, failure.status) != ("raise", 500):
            raise
        return True
    return False


CASES: list[tuple[str, Action, int, Resumer]]
if LONG:
    actions: tuple[Action, ...] = ("raise", "kill", "delay")
    resumers: tuple[Resumer, ...] = ("client", "worker")
    CASES = [
        (name, action, tries, resumer)
        for name, action, tries, resumer in itertools.product(IN_API, actions, (1, 2), resumers)
        if resumer == "client" or name in WORKER_RESUMES
    ]
else:
    CASES = [(name, "kill", 1, "worker" if name in WORKER_RESUMES else "client") for name in IN_API]


@pytest.mark.parametrize(("name", "action", "tries", "resumer"), CASES)
async def test_journey_with_a_failing_api_ends_in_the_right_state(
    world: World, name: str, action: Action, tries: int, resumer: Resumer
) -> None:
    """`tries` processes fail one after the other at the same failpoint, then the client uses a healthy one."""
    journey = IN_API[name](f"{name}-{action}-{tries}-{resumer}")
    await journey.prepare(world.api.url)
    for attempt in range(tries):
        async with running_process(
            world.variables, f"{name}={action}{f':{DELAY_S}' if action == 'delay' else ''}"
        ) as api:
            fired = await expose(journey, api, action)
            assert fired or attempt > 0, f"{name} was not reached"
    if resumer == "worker":
        await finish_as_worker(world)
    await journey.persist(world.api.url)
    journey.forget()
    await journey.persist(world.api.url)
    await world.check(journey)


@pytest.mark.parametrize("name", [name for name in IN_API if IN_API[name] is Upload])
async def test_upload_to_a_file_with_a_failing_api_makes_one_revision(world: World, name: str) -> None:
    """The file is renamed after the crash; the client has lost its state, and names the old base again."""
    journey = Edit(f"edit-{name}")
    await journey.prepare(world.api.url)
    async with running_process(world.variables, f"{name}=kill") as api:
        assert await expose(journey, api, "kill"), f"{name} was not reached"
    await journey.rename(world.api.url)
    for _ in range(2):
        journey.forget()
        await journey.persist(world.api.url)
    await world.check(journey)


async def finish_as_worker(world: World) -> None:
    """Run the job `finish-stale` until no session is completing."""
    is_open = text("SELECT EXISTS (SELECT FROM uploads WHERE state = 'completing')")
    async with asyncio.timeout(30):
        while True:
            async with world.db.read() as tx:
                if not (await tx.execute(is_open)).scalar_one():
                    return
            await finish_stale_uploads(world.services)
            await asyncio.sleep(0.05)


async def kill_at_each_step(world: World, journey: Journey, steps: Iterable[str]) -> None:
    """Let one API process after the other die, each one step later, while the client repeats the journey."""
    for name in steps:
        async with running_process(world.variables, f"{name}=kill") as api:
            with pytest.raises(httpx2.TransportError):
                await journey.persist(api.url)
            assert await api.wait_for_exit() == -9, f"{name} was not reached"


async def test_upload_to_a_link_with_processes_killed_at_every_step_arrives_once(world: World) -> None:
    """The sender begins anew with its secret and reference; a worker takes over when all has arrived, and dies too."""
    journey = LinkUpload("link")
    await journey.prepare(world.api.url)
    await kill_at_each_step(world, journey, LINK_IN_API)
    for name in LINK_IN_WORKER:
        async with asyncio.timeout(60):
            while await run_job(world.variables, "finish-stale", f"{name}=kill") != -9:
                pass  # the lease of the process before has not lapsed
    await journey.persist(world.api.url)
    await world.check(journey)


async def test_small_upload_to_a_link_with_the_api_killed_before_its_record_arrives_once(world: World) -> None:
    journey = LinkUpload("link-single", size_bytes=1_000)
    await journey.prepare(world.api.url)
    await kill_at_each_step(world, journey, ["uploads.complete.after_head_single"])
    await journey.persist(world.api.url)
    await world.check(journey)


@pytest.mark.parametrize(
    ("kind", "action", "size_bytes"),
    [
        *itertools.product([Upload], ["raise", "delay:0.3"], [1_000, CHUNK + 1_000]),
        (LinkUpload, "raise", CHUNK + 1_000),
        *itertools.product([LinkUpload] if LONG else [], ["delay:0.3"], [1_000, CHUNK + 1_000]),
    ],
)
async def test_upload_with_every_failpoint_firing_once_succeeds_by_repeating(
    world: World, kind: type[Upload] | type[LinkUpload], action: str, size_bytes: int
) -> None:
    """Every failpoint of the journey fires once, and the client only repeats."""
    journey = kind(f"all-{action}-{size_bytes}", size_bytes=size_bytes)
    if isinstance(journey, Upload):
        journey.late = size_bytes > CHUNK
    await journey.prepare(world.api.url)
    armed = ",".join(f"{name}={action}" for name in {*IN_API, *LINK_IN_API})
    async with running_process(world.variables, armed) as api:
        await asyncio.gather(*(journey.persist(api.url, on=AND_INTERNAL) for _ in range(2)))
    await world.check(journey)


WORKER_ACTIONS: tuple[Action, ...] = ("raise", "kill", "delay") if LONG else ("kill",)


@pytest.mark.parametrize("action", WORKER_ACTIONS)
@pytest.mark.parametrize("name", IN_WORKER)
async def test_journey_with_a_failing_worker_ends_in_the_right_state(world: World, name: str, action: Action) -> None:
    job, make = IN_WORKER[name]
    journey = make(f"{name}-{action}")
    await journey.prepare(world.api.url)
    await journey.persist(world.api.url)
    await age_rows(world.db)
    if isinstance(journey, Rot):
        await settle(world.db, world.store, world.settings)
        await journey.rot(world.db, world.store)
    code = await run_job(world.variables, job, f"{name}={action}{f':{DELAY_S}' if action == 'delay' else ''}")
    assert code == {"raise": 1, "kill": -9, "delay": 0}[action], f"{name} was not reached"
    if isinstance(journey, Rot) and action != "delay":
        await journey.mend(world.db, world.store, world.settings)
    await world.check(journey)
