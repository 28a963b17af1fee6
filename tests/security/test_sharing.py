"""Sharing under attack: editors who probe the content of the owner, and grantees after a revocation."""

import asyncio
import json
import random
from typing import Any

import httpx2
import pytest
from sqlalchemy import event, text

from dropbox_api.context import Services
from dropbox_api.db import Db
from dropbox_api.storage.s3 import S3Config
from dropbox_api.workers.expire import expire_uploads
from dropbox_api.workers.finish import finish_stale_uploads
from dropbox_api.workers.verify import verify_next_blob
from tests.conftest import Register
from tests.support.server import (
    MULTI,
    NO_LIMITS,
    SMALLEST_CHUNK,
    Account,
    RunningServer,
    complete,
    download,
    make_settings,
    problem,
    put,
    register_account,
    run_until_idle,
    running_server,
    send,
    sign,
    start,
    start_body,
    upload_file,
)
from tests.support.sharing import grant, make_folder, make_link, public, verify

pytestmark = pytest.mark.usefixtures("invariants_hold")


BYTES = random.Random(8).randbytes(SMALLEST_CHUNK + 1000)


@pytest.fixture
async def people(register: Register, db: Db) -> tuple[Account, Account, str, dict[str, Any]]:
    """Ada, Ed, Ada's folder /private/shared, which Ed may edit, and the grant."""
    ada, ed = await register(), await register()
    await verify(db, ed)
    folder = await make_folder(ada, "/private/shared")
    return ada, ed, folder, await grant(ada, folder, ed, "editor")


People = tuple[Account, Account, str, dict[str, Any]]


async def revoke(ada: Account, folder: str, given: dict[str, Any]) -> None:
    (await ada.client.delete(f"/v1/files/{folder}/grants/{given['id']}")).raise_for_status()


# Content and quota of the owner are hidden from editors


async def test_start_by_editor_reveals_no_content_of_the_owner(people: People, db: Db) -> None:
    ada, ed, folder, _ = people
    stored, sending, unknown = b"stored by ada", b"sent by ada..", b"not uploaded."
    await upload_file(ada, stored, "elsewhere.txt", destination={"folder_path": "/private"})
    await start(ada, sending, "sending.txt")
    engine = db._engine.sync_engine
    found = []
    for n, data in enumerate((stored, sending, unknown)):
        seen: list[str] = []

        def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any, seen: list[str] = seen) -> None:
            seen.append(statement)

        body = start_body(data, f"{n}.txt", destination={"parent_id": folder})
        event.listen(engine, "before_cursor_execute", note)
        try:
            answer = await ed.client.post("/v1/uploads", json=body)
        finally:
            event.remove(engine, "before_cursor_execute", note)
        upload = answer.json()["upload"]
        shape = {key for key, value in upload.items() if value}
        found.append((answer.status_code, answer.json()["file"], shape, seen))
        assert problem(await complete(ed, upload["id"])) == (409, "parts-missing")
        assert problem(await ed.client.get(f"/v1/fingerprints/{body['fingerprint']}")) == (404, "not-found")
    assert found[0] == found[1] == found[2]
    assert found[0][:2] == (201, None)


async def test_late_start_by_editor_with_the_size_of_owner_content_is_accepted(people: People) -> None:
    ada, ed, folder, _ = people
    data = random.Random(6).randbytes(8 * 1024**2 + 1)
    await upload_file(ada, data, "a")
    body = {"size_bytes": len(data), "destination": {"name": "b", "parent_id": folder}}
    assert (await ed.client.post("/v1/uploads", json=body)).status_code == 201


@pytest.mark.parametrize("way", ["start", "batch", "form", "put"])
async def test_upload_by_editor_beyond_the_owner_quota_is_refused_without_numbers(
    people: People, db: Db, way: str
) -> None:
    ada, ed, folder, _ = people
    file = await upload_file(ada, b"x", "x.txt", destination={"parent_id": folder})
    async with db.begin() as tx:
        await tx.execute(text("UPDATE users SET quota_bytes = 50 WHERE email = :email"), {"email": ada.email})
    body = start_body(b"y" * 100, "y.txt", destination={"parent_id": folder})
    if way == "start":
        answer = await ed.client.post("/v1/uploads", json=body)
    elif way == "batch":
        answer = await ed.client.post("/v1/uploads/batch", json={"items": [body]})
    elif way == "form":
        form = {"parent_id": folder}
        answer = await ed.client.post("/v1/files", data=form, files={"file": ("y.txt", b"y" * 100)})
    else:
        answer = await ed.client.put(f"/v1/files/{file['id']}/content", content=b"y" * 100)
    refusal = answer.json()["items"][0]["problem"] if way == "batch" else answer.json()
    assert refusal["code"] == "quota-exceeded"
    assert not {"quota_bytes", "used_bytes", "reserved_bytes"} & set(refusal)
    assert (await ada.me())["reserved_bytes"] == 0
    mine = await ed.client.post("/v1/uploads", json=start_body(b"y" * 100, "y.txt"))
    assert mine.status_code == 201


async def test_form_upload_by_editor_is_charged_to_the_owner_only(people: People, db: Db) -> None:
    ada, ed, folder, _ = people
    async with db.begin() as tx:
        await tx.execute(text("UPDATE users SET quota_bytes = 0 WHERE email = :email"), {"email": ed.email})
    shared = await ed.client.post("/v1/files", data={"parent_id": folder}, files={"file": ("f.txt", b"f")})
    assert shared.status_code == 201
    own = await ed.client.post("/v1/files", files={"file": ("f.txt", b"f")})
    assert problem(own) == (413, "quota-exceeded")
    for person in (ada, ed):
        assert (await person.me())["reserved_bytes"] == 0


# Owner of uploads by editors


async def test_upload_by_editor_belongs_to_the_owner(people: People) -> None:
    ada, ed, folder, _ = people
    place: dict[str, Any] = {"destination": {"parent_id": folder}}
    whole = await upload_file(ed, b"whole", "whole.txt", **place)
    parts = await upload_file(ed, BYTES, "parts.bin", **place, **MULTI)
    form = await ed.client.post("/v1/files", data={"parent_id": folder}, files={"file": ("form.txt", b"form")})
    last = ("parent_id", (None, folder))
    late = await ed.client.post("/v1/files", files=[("file", ("late.txt", b"l" * 300_000)), last])
    assert form.status_code == 201
    assert problem(late) == (409, "cross-owner")  # the server chooses the quota before it reads the file
    items = [start_body(f"{n}".encode(), f"{n}.txt", **place) for n in range(3)]
    batch = (await ed.client.post("/v1/uploads/batch", json={"items": items})).json()["items"]
    for n, item in enumerate(batch):
        await send(ed, item["started"]["upload"] if "started" in item else item["upload"], f"{n}".encode())
    ids = [(item.get("started") or item)["upload"]["id"] for item in batch]
    done = await ed.client.post("/v1/uploads/batch/complete", json={"upload_ids": ids})
    assert all(item["problem"] is None for item in done.json()["items"])
    for file in (whole, parts, form.json()):
        assert (file["owner"], file["role"], file["path"].split("/")[1]) == (ada.email, "editor", "shared")
        assert "private" not in json.dumps(file)
    editor = await ed.me()
    assert (editor["used_bytes"], editor["reserved_bytes"], editor["used_nodes"]) == (0, 0, 0)
    owner = await ada.me()
    assert (owner["used_bytes"], owner["reserved_bytes"]) == (len(b"whole") + len(BYTES) + len(b"form") + 3, 0)
    revisions = await ada.client.get(f"/v1/files/{whole['id']}/revisions")
    assert revisions.json()["items"][0]["author"] == ed.email


# After a revocation


async def test_upload_by_revoked_editor_is_not_completed(people: People, server: RunningServer, db: Db) -> None:
    ada, ed, folder, given = people
    place: dict[str, Any] = {"destination": {"parent_id": folder}}
    single = await start(ed, b"single", "single.txt", **place)
    multi = await start(ed, BYTES, "multi.bin", **place, **MULTI)
    (first,) = await sign(ed, multi, BYTES, [1])
    await send(ed, single, b"single")
    await revoke(ada, folder, given)
    (
        await put(first, BYTES[:SMALLEST_CHUNK])
    ).raise_for_status()  # a signed URL outlives the grant; its part is never used
    for upload in (single, multi):
        assert problem(await complete(ed, upload["id"])) == (409, "parent-gone")
        parts = {"parts": [{"number": 1, "sha256": "0" * 64}]}
        assert problem(await ed.client.post(f"/v1/uploads/{upload['id']}/parts", json=parts)) == (409, "parent-gone")
    batch = await ed.client.post("/v1/uploads/batch/complete", json={"upload_ids": [single["id"]]})
    assert "file" not in (batch.json()["items"][0].get("completed") or {})
    again = await ed.client.post("/v1/uploads", json=start_body(b"again", "again.txt", **place))
    assert problem(again) == (404, "not-found")
    form = await ed.client.post("/v1/files", data={"parent_id": folder}, files={"file": ("f.txt", b"f")})
    assert problem(form) == (404, "not-found")
    assert (await ada.client.get("/v1/files", params={"parent_id": folder})).json()["items"] == []
    async with db.begin() as tx:
        late = text("UPDATE uploads SET expires_at = now() - interval '1 second' WHERE uploader_id = :id")
        await tx.execute(late, {"id": (await ed.me())["id"]})
    await expire_uploads(Services(db, server.store, server.settings))
    owner = await ada.me()
    assert (owner["reserved_bytes"], owner["used_nodes"]) == (0, 2)


async def test_read_by_revoked_editor_is_not_found(people: People) -> None:
    ada, ed, folder, given = people
    file = await upload_file(ada, b"one", "one.txt", destination={"parent_id": folder})
    assert (await ed.client.get(f"/v1/files/{file['id']}/download")).status_code == 200
    await revoke(ada, folder, given)
    for path in ("", "/content", "/download", "/revisions", "/archive", f"/content?revision={file['revision_id']}"):
        assert problem(await ed.client.get(f"/v1/files/{file['id']}{path}")) == (404, "not-found")
    for recursive in (False, True):
        listed = await ed.client.get("/v1/files", params={"parent_id": folder, "recursive": recursive})
        assert problem(listed) == (404, "not-found")
    assert (await ed.client.get("/v1/search", params={"q": "one"})).json()["items"] == []
    assert (await ed.client.get("/v1/shared-with-me")).json()["items"] == []


async def test_destination_by_editor_outside_the_share_is_refused(people: People) -> None:
    """The server checks access for later destinations and new folders too."""
    ada, ed, folder, _ = people
    private = (await ada.client.get("/v1/files/by-path?path=/private")).json()["id"]
    upload = await start(ed, b"abc", "abc.txt", destination={"parent_id": folder})
    more = {"destination": {"name": "abc.txt", "parent_id": private}}
    added = await ed.client.post(f"/v1/uploads/{upload['id']}/destinations", json=more)
    assert problem(added) == (404, "not-found")
    made = await ed.client.post("/v1/folders", json={"name": "x", "parent_id": private})
    assert problem(made) == (404, "not-found")
    own = await ed.client.post(f"/v1/uploads/{upload['id']}/destinations", json={"destination": {"name": "mine.txt"}})
    assert problem(own) == (409, "cross-owner")


async def row_of(db: Db, upload: dict[str, Any]) -> Any:
    async with db.read() as tx:
        return (await tx.execute(text("SELECT * FROM uploads WHERE id = :id"), {"id": upload["id"]})).one()


@pytest.mark.parametrize("way", ["revoke", "role", "share again", "leave"])
async def test_loss_of_the_editor_role_releases_reserved_quota(people: People, way: str) -> None:
    ada, ed, folder, given = people
    at = f"/v1/files/{folder}/grants"
    kept = await make_folder(ada, "/private/shared/kept")
    await grant(ada, kept, ed, "editor")
    for n, place in enumerate((folder, folder, kept)):
        await start(ed, b"x" * (1000 + n), "x", destination={"parent_id": place, "on_conflict": "rename"})
    await start(ed, BYTES, "multi.bin", destination={"parent_id": folder}, **MULTI)
    if way == "revoke":
        await revoke(ada, folder, given)
    elif way == "role":
        (await ada.client.patch(f"{at}/{given['id']}", json={"role": "viewer"})).raise_for_status()
    elif way == "share again":
        await grant(ada, folder, ed, "viewer")
    else:
        (await ed.client.delete(f"/v1/shared-with-me/{folder}")).raise_for_status()
    assert (await ada.me())["reserved_bytes"] == 1002
    live = (await ed.client.get("/v1/uploads?state=active")).json()["items"]
    assert [upload["size_bytes"] for upload in live] == [1002]
    for upload in live:
        assert (await ed.client.delete(f"/v1/uploads/{upload['id']}")).status_code == 204


async def test_upload_to_a_folder_moved_out_of_the_share_is_not_extended(people: People, db: Db) -> None:
    ada, ed, _, _ = people
    inner = await make_folder(ada, "/private/shared/inner")
    upload = await start(ed, BYTES, "x", destination={"parent_id": inner}, **MULTI)
    size = {"size_bytes": 9 * 1024**2, "destination": {"name": "late", "parent_id": inner}}
    late = (await ed.client.post("/v1/uploads", json=size)).json()["upload"]
    private = (await ada.client.get("/v1/files/by-path?path=/private")).json()["id"]
    await ada.client.patch(f"/v1/files/{inner}", json={"parent_id": private})
    until = (await row_of(db, upload)).expires_at
    assert problem(await ed.client.post(f"/v1/uploads/{upload['id']}/reconcile")) == (409, "parent-gone")
    bound = await ed.client.put(f"/v1/uploads/{late['id']}/fingerprint", json={"fingerprint": "0" * 64})
    assert problem(bound) == (409, "parent-gone")
    assert (await row_of(db, upload)).expires_at == until
    for one in (upload, late):
        assert (await ed.client.delete(f"/v1/uploads/{one['id']}")).status_code == 204


async def test_batch_to_a_folder_moved_out_of_the_share_charges_no_quota(people: People) -> None:
    ada, ed, _, _ = people
    inner = await make_folder(ada, "/private/shared/inner")
    upload = await start(ed, b"x" * 1000, "x", destination={"parent_id": inner})
    await send(ed, upload, b"x" * 1000)
    private = (await ada.client.get("/v1/files/by-path?path=/private")).json()["id"]
    await ada.client.patch(f"/v1/files/{inner}", json={"parent_id": private})
    batch = await ed.client.post("/v1/uploads/batch/complete", json={"upload_ids": [upload["id"]]})
    assert batch.json()["items"][0]["problem"]["code"] == "parent-gone"
    assert (await ada.me())["used_bytes"] == 0


async def test_stale_completion_to_a_folder_moved_out_of_the_share_ends(
    people: People, server: RunningServer, db: Db
) -> None:
    """The holder of the lease died and the folder left the share: completion is no longer possible."""
    ada, ed, _, _ = people
    inner = await make_folder(ada, "/private/shared/inner")
    place: dict[str, Any] = {"destination": {"parent_id": inner}}
    uploads = [await start(ed, data, data[:3].hex(), **place, **MULTI) for data in (BYTES, BYTES[::-1])]
    async with db.begin() as tx:
        held = "state = 'completing', lease_token = gen_random_uuid(), lease_until = now() + interval '1 hour'"
        await tx.execute(
            text(f"UPDATE uploads SET {held}, checks = 11 WHERE uploader_id = :id"), {"id": (await ed.me())["id"]}
        )
    private = (await ada.client.get("/v1/files/by-path?path=/private")).json()["id"]
    await ada.client.patch(f"/v1/files/{inner}", json={"parent_id": private})

    async def alter_and_run_jobs(change: str) -> None:
        async with db.begin() as tx:
            of = {"ids": [upload["id"] for upload in uploads]}
            await tx.execute(text(f"UPDATE uploads SET {change} WHERE id = ANY(CAST(:ids AS uuid[]))"), of)
        await finish_stale_uploads(Services(db, server.store, server.settings))
        await expire_uploads(Services(db, server.store, server.settings))

    at = f"/v1/uploads/{uploads[0]['id']}"
    await alter_and_run_jobs("expires_at = now() - interval '1 second'")
    assert problem(await ed.client.delete(at)) == (409, "upload-completing")
    await alter_and_run_jobs(
        "lease_until = now() - interval '1 second', checks = 3, next_check_at = now() - interval '1 year'"
    )
    assert [(await row_of(db, upload)).state for upload in uploads] == ["completing"] * 2
    assert (await ed.client.delete(at)).status_code == 204
    await alter_and_run_jobs("checks = 11")
    assert [(await row_of(db, upload)).state for upload in uploads] == ["aborted", "expired"]
    assert (await ada.me())["reserved_bytes"] == 0


# Storage keys


@pytest.mark.parametrize("way", ["single", "form", "put", "parts"])
async def test_download_url_for_editor_hides_that_the_owner_had_the_content(
    people: People, server: RunningServer, way: str
) -> None:
    """The URL names the upload of the editor, whether or not the owner has the content."""
    ada, ed, folder, _ = people
    data = random.Random(way).randbytes(SMALLEST_CHUNK + 1000)
    mine = await upload_file(ada, data, "mine.bin", **MULTI)
    await run_until_idle(verify_next_blob, server.services)
    before = await ada.me()
    place: dict[str, Any] = {"destination": {"parent_id": folder}}
    if way == "single":
        file = await upload_file(ed, data, "x.bin", strategy="single", **place)
    elif way == "parts":
        file = await upload_file(ed, data, "x.bin", **place, **MULTI)
    elif way == "form":
        sent = await ed.client.post("/v1/files", data={"parent_id": folder}, files={"file": ("x.bin", data)})
        file = sent.raise_for_status().json()
    else:
        file = await upload_file(ed, b"before", "x.bin", **place)
        (await ed.client.put(f"/v1/files/{file['id']}/content", content=data)).raise_for_status()
        before["used_bytes"] += len(b"before")
    await run_until_idle(verify_next_blob, server.services)
    where = (await ed.client.get(f"/v1/files/{file['id']}/download")).json()
    owners = (await ada.client.get(f"/v1/files/{mine['id']}/download")).json()
    async with server.db.read() as tx:
        newest = text("SELECT id FROM uploads WHERE uploader_id = :id ORDER BY id DESC LIMIT 1")
        own = (await tx.execute(newest, {"id": (await ed.me())["id"]})).scalar_one()
    assert f"/{own}?" in where["url"]
    assert owners["etag"] == where["etag"]  # one object for both
    assert (await ada.me())["used_bytes"] == before["used_bytes"]
    for reader, node_id in ((ed, file["id"]), (ada, mine["id"])):
        assert await download(reader, node_id) == data


# Password guesses for links


async def test_link_password_after_three_wrong_ones_is_rate_limited(postgres_url: str, s3_config: S3Config) -> None:
    limits = NO_LIMITS | {"link_password": "3/hour"}
    async with running_server(make_settings(postgres_url, s3_config, limits=limits)) as strict:
        owner = await register_account(strict.url)
        async with owner.client, httpx2.AsyncClient(base_url=strict.url, timeout=60) as api:
            folder = await make_folder(owner, "/guarded")
            link, other = [await make_link(owner, folder, password="right one") for _ in range(2)]
            right = {"X-Link-Password": "right one"}
            for _ in range(5):  # right passwords are not counted
                assert (await api.get(public(link), headers=right)).status_code == 200
            for n in range(3):
                wrong = await api.get(public(link), headers={"X-Link-Password": f"wrong {n}"})
                assert problem(wrong) == (401, "link-password-required")
            assert problem(await api.get(public(link), headers=right)) == (429, "rate-limited")
            asked = await api.post(public(link, "/pass"), json={"password": "right one"})
            assert problem(asked) == (429, "rate-limited")
            page = await api.post(f"{link['url_path']}/password", data={"password": "right one"})
            assert (page.status_code, "retry-after" in page.headers) == (429, True)
            assert (await api.get(public(other), headers=right)).status_code == 200


async def test_wrong_passwords_for_a_link_pass_are_rate_limited(postgres_url: str, s3_config: S3Config) -> None:
    limits = NO_LIMITS | {"link_password": "3/hour"}
    async with running_server(make_settings(postgres_url, s3_config, limits=limits)) as strict:
        owner = await register_account(strict.url)
        async with owner.client, httpx2.AsyncClient(base_url=strict.url, timeout=60) as api:
            link = await make_link(owner, await make_folder(owner, "/guarded"), password="right one")
            made = await api.post(public(link, "/pass"), json={"password": "right one"})
            guesses = [*(f"wrong {n}" for n in range(3)), "right one"]
            asked = [await api.post(public(link, "/pass"), json={"password": guess}) for guess in guesses]
            assert [answer.status_code for answer in asked] == [401, 401, 401, 429]
            shown = {"X-Link-Pass": made.json()["link_pass"]}
            assert (await api.get(public(link), headers=shown)).status_code == 200, "a pass is no guess"


async def test_concurrent_link_passwords_share_one_limit(postgres_url: str, s3_config: S3Config) -> None:
    limits = NO_LIMITS | {"link_password": "3/hour"}
    async with running_server(make_settings(postgres_url, s3_config, limits=limits)) as strict:
        owner = await register_account(strict.url)
        async with owner.client, httpx2.AsyncClient(base_url=strict.url, timeout=60) as api:
            link = await make_link(owner, await make_folder(owner, "/guarded"), password="right one")
            asked = [api.get(public(link), headers={"X-Link-Password": f"wrong {n}"}) for n in range(20)]
            answers = [answer.status_code for answer in await asyncio.gather(*asked)]
            assert (answers.count(401), answers.count(429)) == (3, 17)
            assert (await api.get(public(link), headers={"X-Link-Password": "right one"})).status_code == 429


# Ids of users


async def test_grant_by_user_id_reveals_no_email(people: People) -> None:
    """Content URLs contain the id of the owner: a grant to that id must not reveal the email address."""
    ada, ed, _, _ = people
    bait = await make_folder(ed, "/bait")
    body = {"user_id": (await ada.me())["id"], "role": "viewer"}
    made = await ed.client.post(f"/v1/files/{bait}/grants", json=body)
    listed = await ed.client.get(f"/v1/files/{bait}/grants")
    activity = await ed.client.get(f"/v1/files/{bait}/activity")
    for answer in (made, listed):
        assert answer.status_code in {200, 201}
        assert ada.email not in answer.text
    assert all(ada.email not in json.dumps(entry["detail"]) for entry in activity.json()["items"])
    (mine,) = listed.json()["items"]
    assert (mine["email"], mine["user_id"], mine["pending"]) == (None, body["user_id"], False)
    assert [file["name"] for file in (await ada.client.get("/v1/shared-with-me")).json()["items"]] == ["bait"]
