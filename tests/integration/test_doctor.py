"""`dropbox-api doctor`, `worker --once`, and the rows of `job_runs`."""

import asyncio
import json
import shutil
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from sqlalchemy import text

from dropbox_api.db import Db
from dropbox_api.plumbing.store_config import read_s3_config
from dropbox_api.settings import Settings
from dropbox_api.storage.s3 import S3Config, S3Store
from dropbox_api.workers import diagnosis, runs
from dropbox_api.workers.reports import Report
from tests.support.process import environment, run_program
from tests.support.server import make_settings, migrated_database
from tests.support.stack import WEB_ORIGIN, prepare_bucket


@pytest.fixture
async def settings(postgres_url: str, s3_config: S3Config) -> AsyncIterator[Settings]:
    async with migrated_database(postgres_url) as url:
        yield make_settings(url, await prepare_bucket(replace(s3_config, bucket="doctor")))


@pytest.fixture
async def own_db(settings: Settings) -> AsyncIterator[Db]:
    db = Db.connect(settings.database)
    yield db
    await db.close()


async def run(settings: Settings, *arguments: str, **more: str) -> tuple[int, str]:
    """Run `dropbox-api` with these arguments; return its exit code and its output."""
    """Run `dropbox-api` with these arguments; return its exit code and its output."""
    assert settings.s3.secret_access_key
    variables = environment(
        settings.database.url.get_secret_value(),
        S3Config(
            bucket=settings.s3.bucket,
            endpoint_url=settings.s3.endpoint_url,
            access_key_id=settings.s3.access_key_id,
            secret_access_key=settings.s3.secret_access_key.get_secret_value(),
        ),
    )
    ran = await run_program(arguments, variables | more)
    return ran.code, ran.out + ran.err


def problems_in(said: str) -> list[str]:
    return [line.removeprefix("!!  ") for line in said.splitlines() if line.startswith("!!")]


async def test_doctor_prints_the_rule_that_the_bucket_needs_for_browsers(settings: Settings) -> None:
    web = {"DROPBOX_HTTP__PUBLIC_URL": "https://box.example", "DROPBOX_HTTP__CORS_ORIGINS": json.dumps([WEB_ORIGIN])}
    _, said = await run(settings, "doctor", **web)
    (fault,) = [line for line in problems_in(said) if line.startswith("browsers: ")]
    head, _, rule = fault.partition(" (put-bucket-cors): ")
    assert head == "browsers: the bucket's CORS rule refuses pages of https://box.example: install this rule"
    async with S3Store.open(read_s3_config(settings)) as store:
        await store._client.put_bucket_cors(Bucket=settings.s3.bucket, CORSConfiguration=json.loads(rule))
    _, said = await run(settings, "doctor", **web)
    assert "ok  browsers: may upload" in said.splitlines()


async def test_doctor_warns_of_a_store_that_would_get_the_session_cookie(settings: Settings) -> None:
    host = {"DROPBOX_HTTP__PUBLIC_URL": "https://box.example"}
    _, said = await run(settings, "doctor", DROPBOX_S3__PUBLIC_ENDPOINT_URL="https://box.example:9000", **host)
    assert "cookies: API and store share the host box.example" in said
    _, said = await run(settings, "doctor", DROPBOX_S3__PUBLIC_ENDPOINT_URL="https://s3.box.example", **host)
    assert "cookies:" not in said


async def test_doctor_with_problems_names_each_and_its_remedy(settings: Settings, own_db: Db) -> None:
    code, said = await run(settings, "doctor")
    assert (code, problems_in(said)) == (1, ["workers: none has ever run: start `dropbox-api worker`"]), said
    code, said = await run(settings, "worker", "--once", "forget")
    assert (code, said) == (0, "forget: found 0, done 0, failed 0\n")
    code, said = await run(settings, "doctor", "--check")
    assert (code, problems_in(said)) == (0, []), said
    assert {line.split(":")[0] for line in said.splitlines() if line.startswith("ok")} >= {
        "ok  settings",
        "ok  database",
        "ok  schema",
        "ok  listen connection",
        "ok  store",
        "ok  clock",
        "ok  workers",
        "ok  jobs",
        "ok  relay",
        "ok  webhooks",
        "ok  content",
        "ok  tombstones",
        "ok  invariants",
    }
    async with own_db.begin() as tx:
        row = """INSERT INTO outbox (id, aggregatetype, aggregateid, type, payload, seq, recipients, parked_at, failure)
                 VALUES (:id, 'file', :id, 'file.created', '{}', 1, '{}', now(), 'no reason')"""
        await tx.execute(text(row), {"id": uuid.uuid4()})
        await tx.execute(text("UPDATE job_runs SET error = 'ValueError: of a kind'"))
    code, said = await run(settings, "doctor")
    assert code == 1
    assert [line.split(":")[0] for line in problems_in(said)] == ["jobs", "relay"]
    assert "forget (ValueError: of a kind)" in said
    assert "1 changes parked (no reason)" in said


async def test_doctor_with_expired_tombstones_names_the_job(settings: Settings, own_db: Db) -> None:
    async def find() -> diagnosis.Finding:
        found = await diagnosis.diagnose(own_db, settings)
        return next(finding for finding in found if finding.message.startswith("tombstones"))

    async with own_db.begin() as tx:
        row = "INSERT INTO tombstones (owner_id, node_id, deleted_at) VALUES (:id, :id, now() - interval '30 days')"
        await tx.execute(text(row), {"id": uuid.uuid4()})
    assert (await find()).is_good
    async with own_db.begin() as tx:
        await tx.execute(text("UPDATE tombstones SET deleted_at = deleted_at - interval '1 day'"))
    found = await find()
    assert (found.is_good, found.message) == (False, "tombstones: 1, the oldest is 31 days old")
    assert "--once retain" in found.remedy


async def test_doctor_with_little_disk_says_how_much_and_what_to_do(
    settings: Settings, own_db: Db, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil._ntuple_diskusage(100 * 1024**3, 95 * 1024**3, 5 * 1024**3)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    watched = settings.model_copy(update={"s3": settings.s3.model_copy(update={"data_dir": "/store"})})
    found = next(finding for finding in await diagnosis.diagnose(own_db, watched) if "disk" in finding.message)
    assert (found.is_good, found.message) == (False, "disk of the store: 5.0 of 100.0 GiB free (5%)")
    assert "When the store is full" in found.remedy


async def test_empty_runs_are_recorded_in_batches_and_all_others_at_once(own_db: Db) -> None:
    written = runs.Runs(own_db)

    async def row() -> tuple[int, ...]:
        async with own_db.read() as tx:
            columns = "runs_total, done_total, failed_total, found, done, failed"
            return tuple((await tx.execute(text(f"SELECT {columns} FROM job_runs WHERE name = 'job'"))).one())

    async def work(report: Report) -> Report:
        return await written.run("job", lambda: asyncio.sleep(0, report))

    await work(Report(0, 0))
    for _ in range(50):
        await work(Report(0, 0))
    assert await row() == (1, 0, 0, 0, 0, 0), "empty runs are recorded later"
    await work(Report(3, 2, 1))
    written._unrecorded["job"].written_at_s -= runs.BUSY_PAUSE_S
    await work(Report(1, 1))
    assert await row() == (53, 3, 1, 1, 1, 0)

    async def fails() -> Report:
        raise ValueError("of a kind")

    written._unrecorded["job"].written_at_s -= runs.BUSY_PAUSE_S
    async with own_db.read() as tx:
        before = (await tx.execute(text("SELECT finished_at FROM job_runs"))).scalar_one()
    with pytest.raises(ValueError, match="of a kind"):
        await written.run("job", fails)
    async with own_db.read() as tx:
        after = (await tx.execute(text("SELECT finished_at, error, failed_total FROM job_runs"))).one()
    assert tuple(after) == (before, "ValueError: of a kind", 2)
