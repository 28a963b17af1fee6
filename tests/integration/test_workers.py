"""Each job of the worker on a real database and a real bucket: its effect, and what it leaves unchanged."""

import random
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from dropbox_api.context import Services
from dropbox_api.db import Db
from dropbox_api.settings import Settings
from dropbox_api.storage.object_store import CompletedPart
from dropbox_api.storage.s3 import S3Config, S3Store
from dropbox_api.workers import discard, jobs, runner
from dropbox_api.workers.collect import collect_blobs
from dropbox_api.workers.discard import discard_leftovers
from dropbox_api.workers.expire import expire_uploads
from dropbox_api.workers.finish import finish_idle_uploads, finish_stale_uploads
from dropbox_api.workers.sweep import report_orphans, sweep_orphans
from dropbox_api.workers.verify import verify_next_blob
from tests.support.server import (
    MULTI,
    SMALLEST_CHUNK,
    Account,
    RunningServer,
    assert_invariants,
    complete,
    download,
    is_stored,
    journal,
    problem,
    put,
    run_until_idle,
    send,
    separate_server,
    sha256,
    sign,
    start,
    start_body,
    upload_file,
)

pytestmark = pytest.mark.usefixtures("invariants_hold")


BYTES = random.Random(3).randbytes(SMALLEST_CHUNK + 1000)


@pytest.fixture(scope="module")
async def server(postgres_url: str, s3_config: S3Config) -> AsyncIterator[RunningServer]:
    """A server with its own database and bucket: the jobs find only rows and objects of these tests."""
    async with separate_server(postgres_url, s3_config, bucket="workers") as running:
        yield running


@pytest.fixture
def settings(server: RunningServer) -> Settings:
    return server.settings


@pytest.fixture
def impatient(server: RunningServer) -> Settings:
    """Settings without a grace period before garbage collection."""
    worker = server.settings.worker.model_copy(update={"sweep_grace_s": 0})
    return server.settings.model_copy(update={"worker": worker})


async def alter_upload(db: Db, upload: dict[str, Any], assignment: str) -> None:
    async with db.begin() as tx:
        await tx.execute(text(f"UPDATE uploads SET {assignment} WHERE id = :id"), {"id": upload["id"]})


async def row(db: Db, upload: dict[str, Any]) -> Any:
    async with db.read() as tx:
        return (await tx.execute(text("SELECT * FROM uploads WHERE id = :id"), {"id": upload["id"]})).one()


# finish-stale


async def start_and_abandon_completion(account: Account, db: Db, lease: str) -> dict[str, Any]:
    """Return a session in state `completing` whose lease holder has died; `lease` is the SQL of its end."""
    upload = await start(account, BYTES, "a", **MULTI)
    await send(account, upload, BYTES)
    (await account.client.post(f"/v1/uploads/{upload['id']}/reconcile")).raise_for_status()
    claimed = f"state = 'completing', next_check_at = now(), lease_token = gen_random_uuid(), lease_until = {lease}"
    await alter_upload(db, upload, claimed)
    return upload


async def test_finish_stale_takes_over_an_expired_lease(
    account: Account, db: Db, store: S3Store, settings: Settings
) -> None:
    upload = await start_and_abandon_completion(account, db, "now() - interval '1 second'")
    report = await finish_stale_uploads(Services(db, store, settings))
    assert (report.found, report.done, report.failed) == (1, 1, 0)
    assert (await row(db, upload)).state == "completed"
    file = (await complete(account, upload["id"])).raise_for_status().json()["file"]
    assert await download(account, file["id"]) == BYTES
    assert await journal(db, account) == [("file.created", file["id"])]


async def test_finish_stale_skips_a_live_lease(account: Account, db: Db, store: S3Store, settings: Settings) -> None:
    upload = await start_and_abandon_completion(account, db, "now() + interval '1 hour'")
    assert (await finish_stale_uploads(Services(db, store, settings))).found == 0
    assert problem(await account.client.delete(f"/v1/uploads/{upload['id']}")) == (409, "upload-completing")
    parts = {"parts": [{"number": 1, "sha256": sha256(BYTES[:SMALLEST_CHUNK])}]}
    answer = await account.client.post(f"/v1/uploads/{upload['id']}/parts", json=parts)
    assert problem(answer) == (409, "upload-completing")
    await alter_upload(db, upload, "lease_until = NULL")
    assert (await finish_stale_uploads(Services(db, store, settings))).done == 1


async def test_finish_stale_after_s3_assembled_the_object_records_it(
    account: Account, db: Db, store: S3Store, settings: Settings
) -> None:
    """The holder died after S3 assembled the object, which ended the multipart upload, and before the record."""
    upload = await start_and_abandon_completion(account, db, "now() + interval '1 hour'")
    claimed = await row(db, upload)
    async with db.read() as tx:
        chunks = text("SELECT number, etag, sha256 FROM upload_chunks WHERE upload_id = :id ORDER BY number")
        parts = (await tx.execute(chunks, {"id": upload["id"]})).all()
    from_row = [CompletedPart(*part) for part in parts]
    await store.complete_multipart(claimed.storage_key, claimed.s3_upload_id, from_row, len(BYTES))
    await alter_upload(db, upload, "lease_until = now() - interval '1 second'")
    assert (await finish_stale_uploads(Services(db, store, settings))).done == 1
    file = (await complete(account, upload["id"])).raise_for_status().json()["file"]
    assert await download(account, file["id"]) == BYTES


# finish-idle


async def test_finish_idle_completes_sessions_with_all_parts(
    account: Account, db: Db, store: S3Store, settings: Settings
) -> None:
    multi = await start(account, BYTES, "multi", **MULTI)
    await send(account, multi, BYTES)
    single = await start(account, b"single", "single")
    await send(account, single, b"single")
    for upload in (multi, single):
        await alter_upload(db, upload, "next_check_at = now() - interval '1 second'")
    report = await finish_idle_uploads(Services(db, store, settings))
    assert (report.found, report.done) == (2, 2)
    listed = (await account.client.get("/v1/files")).json()["items"]
    assert [item["name"] for item in listed] == ["multi", "single"]


async def test_finish_idle_checks_at_growing_intervals(
    account: Account, db: Db, store: S3Store, settings: Settings
) -> None:
    upload = await start(account, BYTES, "a", **MULTI)
    await sign(account, upload, BYTES, [1, 2])
    await send(account, upload, BYTES, [1])
    before = await row(db, upload)
    waits = []
    for _ in range(3):
        await alter_upload(db, upload, "next_check_at = now() - interval '1 second'")
        assert (await finish_idle_uploads(Services(db, store, settings))).found == 1
        async with db.read() as tx:
            wait = text("SELECT extract(epoch FROM next_check_at - now()) FROM uploads WHERE id = :id")
            waits.append(float((await tx.execute(wait, {"id": upload["id"]})).scalar_one()))
        assert (await finish_idle_uploads(Services(db, store, settings))).found == 0
    assert waits[0] < waits[1] < waits[2]
    after = await row(db, upload)
    assert (after.state, after.checks) == ("active", 3)
    assert after.expires_at == before.expires_at, "a check does not extend the session"


@pytest.mark.parametrize("hurdle", ["unsigned", "unbound"])
async def test_finish_idle_skips_sessions_that_cannot_complete(
    account: Account, db: Db, store: S3Store, settings: Settings, hurdle: str
) -> None:
    if hurdle == "unsigned":
        upload = await start(account, BYTES, "a", **MULTI)
        await send(account, upload, BYTES, [1])
    else:
        late = random.Random(4).randbytes(8 * 1024**2 + 1)
        body = {key: value for key, value in start_body(late, "a").items() if key != "fingerprint"}
        upload = (await account.client.post("/v1/uploads", json=body)).json()["upload"]
        await sign(account, upload, late, [1, 2])
    await alter_upload(db, upload, "next_check_at = now() - interval '1 second'")
    assert (await finish_idle_uploads(Services(db, store, settings))).found == 0
    assert (await row(db, upload)).checks == 0


# expire, discard


async def test_expire_ends_only_expired_sessions(account: Account, db: Db, store: S3Store, settings: Settings) -> None:
    late, alive = await start(account, b"late", "late"), await start(account, b"alive", "alive")
    completing = await start_and_abandon_completion(account, db, "now() + interval '1 hour'")
    for upload in (late, completing):
        await alter_upload(db, upload, "expires_at = now() - interval '1 second'")
    report = await expire_uploads(Services(db, store, settings))
    assert (report.found, report.done) == (1, 1)
    states = [(await row(db, upload)).state for upload in (late, alive, completing)]
    assert states == ["expired", "active", "completing"]
    assert (await account.me())["reserved_bytes"] == len(b"alive") + len(BYTES)
    await alter_upload(db, completing, "lease_until = NULL")
    assert (await finish_stale_uploads(Services(db, store, settings))).done == 1


@pytest.mark.parametrize("more", [{}, MULTI], ids=["single", "multipart"])
async def test_discard_deletes_the_leftovers_of_an_ended_session(
    account: Account, db: Db, store: S3Store, settings: Settings, more: dict[str, Any]
) -> None:
    upload = await start(account, b"abc", "a", **more)
    (part,) = await sign(account, upload, b"abc", [1])
    await put(part, b"abc")
    key = (await row(db, upload)).storage_key
    await account.client.delete(f"/v1/uploads/{upload['id']}")
    await discard_leftovers(Services(db, store, settings))
    assert (await row(db, upload)).leftover, "a signed URL is still valid: a part may still arrive"
    await put(part, b"abc")
    await alter_upload(db, upload, "ended_at = now() - interval '2 hours'")
    assert (await discard_leftovers(Services(db, store, settings))).done == 1
    assert not (await row(db, upload)).leftover
    assert not await is_stored(store, key)
    assert [item.key async for item in store.list_multiparts(key)] == []


async def test_discard_keeps_the_object_of_a_blob(account: Account, db: Db, store: S3Store, settings: Settings) -> None:
    file = await upload_file(account, b"needed", "a")
    async with db.read() as tx:
        owned = text("SELECT id FROM uploads WHERE owner_id = :id")
        upload = {"id": (await tx.execute(owned, {"id": (await account.me())["id"]})).scalar_one()}
    await alter_upload(db, upload, "leftover = true, ended_at = now() - interval '2 hours'")
    assert (await discard_leftovers(Services(db, store, settings))).done == 1
    assert await download(account, file["id"]) == b"needed"


async def test_discard_of_stuck_sessions_keeps_their_end_and_goes_on_to_later_ones(
    account: Account, db: Db, store: S3Store, s3_config: S3Config, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discard, "SESSIONS_PER_RUN", 2)
    uploads = [await start(account, bytes([n]), str(n)) for n in range(3)]
    for n, upload in enumerate(uploads):
        await account.client.delete(f"/v1/uploads/{upload['id']}")
        past = f"now() - {3 - n} * interval '1 day'"
        await alter_upload(db, upload, f"ended_at = {past}, next_check_at = {past}")
    before = [await row(db, upload) for upload in uploads]
    async with S3Store.open(replace(s3_config, secret_access_key="wrong")) as refusing:
        report = await discard_leftovers(Services(db, refusing, settings))
        assert (report.found, report.done, report.failed) == (2, 0, 2)
    report = await discard_leftovers(Services(db, store, settings))
    assert (report.found, report.done, report.failed) == (1, 1, 0)
    after = [await row(db, upload) for upload in uploads]
    assert [upload.ended_at for upload in after] == [upload.ended_at for upload in before]
    assert [upload.leftover for upload in after] == [True, True, False]
    for upload in uploads[:2]:
        await alter_upload(db, upload, "next_check_at = now()")
    assert (await discard_leftovers(Services(db, store, settings))).done == 2


# verify


async def test_verify_reads_the_whole_object(account: Account, server: RunningServer) -> None:
    file = await upload_file(account, BYTES, "a", **MULTI)
    assert file["content_status"] == "stored"
    await run_until_idle(verify_next_blob, server.services)
    seen = (await account.client.get(f"/v1/files/{file['id']}")).json()
    assert (seen["content_status"], seen["fingerprint"]) == ("verified", sha256(BYTES))
    assert await journal(server.db, account) == [("file.created", file["id"]), ("file.verified", file["id"])]


async def test_verify_skips_a_leased_blob(account: Account, server: RunningServer) -> None:
    await run_until_idle(verify_next_blob, server.services)
    file = await upload_file(account, b"abc", "a", **MULTI)
    lease = "UPDATE blobs SET lease_token = gen_random_uuid(), lease_until = {} WHERE content_status = 'stored'"
    async with server.db.begin() as tx:
        await tx.execute(text(lease.format("now() + interval '1 hour'")))
    assert (await verify_next_blob(server.services)).found == 0
    async with server.db.begin() as tx:
        await tx.execute(text(lease.format("now() - interval '1 second'")))
    assert (await verify_next_blob(server.services)).done == 1
    assert (await account.client.get(f"/v1/files/{file['id']}")).json()["content_status"] == "verified"


async def test_verify_quarantines_a_false_claim(account: Account, server: RunningServer) -> None:
    body = start_body(b"claim", "a", **MULTI) | {"size_bytes": 5}
    upload = (await account.client.post("/v1/uploads", json=body)).json()["upload"]
    await send(account, upload, b"truth")
    file = (await complete(account, upload["id"])).json()["file"]
    await run_until_idle(verify_next_blob, server.services)
    seen = (await account.client.get(f"/v1/files/{file['id']}")).json()
    assert (seen["content_status"], seen["true_fingerprint"]) == ("quarantined", sha256(b"truth"))
    assert await journal(server.db, account) == [("file.created", file["id"]), ("file.quarantined", file["id"])]
    # Neither the claimed nor the true fingerprint is deduplicated.
    for data in (b"claim", b"truth"):
        answer = await account.client.post("/v1/uploads", json=start_body(data, data.decode()))
        assert (answer.status_code, answer.json()["file"]) == (201, None)


async def test_verify_of_a_missing_object_marks_it_damaged_and_continues(
    account: Account, server: RunningServer
) -> None:
    await run_until_idle(verify_next_blob, server.services)
    lost, kept = [await upload_file(account, data, data.decode(), **MULTI) for data in (b"lost", b"kept longer")]
    lost_keys = text("SELECT storage_key FROM blobs WHERE fingerprint = :fingerprint AND content_status = 'stored'")
    async with server.db.read() as tx:
        key = (await tx.execute(lost_keys, {"fingerprint": bytes.fromhex(lost["fingerprint"])})).scalar_one()
    await server.store.delete(key)
    report = await verify_next_blob(server.services)
    assert (report.found, report.done, report.failed) == (1, 0, 1)
    assert "its object is missing" in report.notes[0]
    assert (await verify_next_blob(server.services)).done == 1
    assert (await verify_next_blob(server.services)).found == 0
    seen = [(await account.client.get(f"/v1/files/{file['id']}")).json()["content_status"] for file in (lost, kept)]
    assert seen == ["damaged", "verified"]
    assert ("file.damaged", lost["id"]) in await journal(server.db, account)
    assert problem(await account.client.get(f"/v1/files/{lost['id']}/content")) == (409, "content-damaged")
    # A second upload of the content repairs both files.
    again = await upload_file(account, b"lost", "again", **MULTI)
    await run_until_idle(verify_next_blob, server.services)
    for file in (lost, again):
        assert (await account.client.get(f"/v1/files/{file['id']}")).json()["content_status"] == "verified"
    assert await download(account, lost["id"]) == b"lost"


async def test_verify_merges_equal_content(account: Account, server: RunningServer, impatient: Settings) -> None:
    db, store = server.db, server.store
    first = await upload_file(account, BYTES, "a", **MULTI)
    second = await upload_file(account, BYTES, "b", **MULTI)
    assert (await account.me())["used_bytes"] == 2 * len(BYTES)
    await run_until_idle(verify_next_blob, server.services)
    assert (await account.me())["used_bytes"] == len(BYTES)
    entries = await journal(db, account)
    assert entries[:2] == [("file.created", first["id"]), ("file.created", second["id"])]
    assert sorted(entries[2:]) == sorted([("file.verified", first["id"]), ("file.verified", second["id"])])
    owned = text("SELECT count(*), count(DISTINCT blob_id) FROM revisions WHERE owner_id = :id")
    keys = text("SELECT storage_key FROM blobs WHERE owner_id = :id")
    me = {"id": (await account.me())["id"]}
    async with db.read() as tx:
        assert (await tx.execute(owned, me)).one() == (2, 1)
        before = list((await tx.execute(keys, me)).scalars())
    assert len(before) == 2
    await collect_blobs(Services(db, store, server.settings))
    assert all([await is_stored(store, key) for key in before]), "the grace period is not over"
    await run_until_idle(collect_blobs, Services(db, store, impatient))
    async with db.read() as tx:
        (kept,) = (await tx.execute(keys, me)).scalars()
    assert [await is_stored(store, key) for key in before] == [key == kept for key in before]
    for file in (first, second):
        assert await download(account, file["id"]) == BYTES


# collect


async def test_collect_deletes_unplaced_content_after_a_week(
    account: Account, server: RunningServer, impatient: Settings
) -> None:
    db, store = server.db, server.store
    uploads = [await start(account, data, "taken", **MULTI) for data in (b"one", b"two")]
    for upload, data in zip(uploads, (b"one", b"two"), strict=True):
        await send(account, upload, data)
    await upload_file(account, b"winner", "taken")
    for upload in uploads:
        assert problem(await complete(account, upload["id"])) == (409, "destination-refused")
    assert (await account.me())["used_bytes"] == 3 + 3 + 6
    keys = [(await row(db, upload)).storage_key for upload in uploads]
    await collect_blobs(Services(db, store, impatient))
    assert all([await is_stored(store, key) for key in keys]), "unplaced content is kept for a week"

    rescued, lost = uploads
    place = {"destination": {"name": "rescued"}}
    answer = await account.client.post(f"/v1/uploads/{rescued['id']}/destinations", json=place)
    rescued_id = answer.raise_for_status().json()["destinations"][-1]["file_id"]
    async with db.begin() as tx:
        aged = "UPDATE blobs SET unreferenced_at = now() - interval '8 days' WHERE unreferenced_at IS NOT NULL"
        await tx.execute(text(aged))
    await run_until_idle(collect_blobs, Services(db, store, impatient))
    assert [await is_stored(store, key) for key in keys] == [True, False]
    assert (await account.me())["used_bytes"] == 3 + 6
    assert await download(account, rescued_id) == b"one"
    answer = await account.client.post(f"/v1/uploads/{lost['id']}/destinations", json=place)
    assert problem(answer) == (409, "nothing-to-place")
    assert problem(await complete(account, lost["id"])) == (409, "destination-refused")
    await assert_invariants(db, store)


# sweep


async def test_sweep_deletes_orphans_after_the_grace_period(
    account: Account, db: Db, store: S3Store, settings: Settings, impatient: Settings
) -> None:
    file = await upload_file(account, b"abc", "a")
    live = await start(account, BYTES, "live", **MULTI)
    await send(account, live, BYTES, [1])
    sent = await start(account, b"sent", "sent")
    await send(account, sent, b"sent")
    orphan, key = f"blobs/{uuid.uuid4()}/orphan", f"blobs/{uuid.uuid4()}/late"
    await store.put(orphan, b"orphan")
    upload_id = await store.create_multipart(key)

    async def find_orphans() -> tuple[bool, bool]:
        return await is_stored(store, orphan), upload_id in [
            one.s3_upload_id async for one in store.list_multiparts(key)
        ]

    young = await sweep_orphans(Services(db, store, settings))
    assert (young.done, await find_orphans()) == (0, (True, True)), "younger than the grace period"
    dry = await report_orphans(Services(db, store, impatient))
    assert {f"object {orphan}", f"multipart upload {key}"} <= set(dry.notes)
    assert (dry.done, await find_orphans()) == (0, (True, True))
    report = await sweep_orphans(Services(db, store, impatient))
    assert (report.found, report.done) == (dry.found, dry.found)
    assert await find_orphans() == (False, False)
    assert (await sweep_orphans(Services(db, store, impatient))).found == 0
    assert await download(account, file["id"]) == b"abc"
    await send(account, live, BYTES, [2])
    for upload in (live, sent):
        assert (await complete(account, upload["id"])).status_code == 200


async def test_sweep_deletes_nothing_within_the_grace_period_after_a_restore(
    db: Db, store: S3Store, impatient: Settings
) -> None:
    """The operator may have restored the wrong backup: a newer one still knows the objects."""
    orphan, restored = (
        f"blobs/{uuid.uuid4()}/orphan",
        text("UPDATE instance SET first_epoch = '', epoch_started_at = :at"),
    )
    await store.put(orphan, b"orphan")
    async with db.begin() as tx:
        await tx.execute(restored, {"at": datetime.now(UTC) + timedelta(hours=1)})
    assert (await sweep_orphans(Services(db, store, impatient))).done == 0
    assert f"object {orphan}" in (await report_orphans(Services(db, store, impatient))).notes
    assert await is_stored(store, orphan)
    async with db.begin() as tx:
        await tx.execute(restored, {"at": datetime.now(UTC) - timedelta(seconds=1)})
    await sweep_orphans(Services(db, store, impatient))
    assert not await is_stored(store, orphan)
    async with db.begin() as tx:
        await tx.execute(text("UPDATE instance SET first_epoch = data_epoch"))


@pytest.mark.parametrize("name", sorted(jobs.JOBS))
async def test_run_once_by_name_runs_each_job(settings: Settings, name: str) -> None:
    assert (await runner.run_once(settings, name)).failed == 0
