"""Upload sessions under a link, through HTTP: the journey, limits, ends, and what the owner sees."""

import asyncio
import random
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import text

from dropbox_api.db import Db
from dropbox_api.plumbing import failpoints
from dropbox_api.settings import MIB
from dropbox_api.storage.s3 import S3Config, S3Store
from dropbox_api.workers.collect import collect_blobs
from dropbox_api.workers.discard import discard_leftovers
from dropbox_api.workers.expire import expire_uploads
from dropbox_api.workers.finish import finish_idle_uploads, finish_stale_uploads
from dropbox_client import AsyncClient, Client
from tests.conftest import Register
from tests.support.senders import Sender
from tests.support.server import (
    MULTI,
    SMALLEST_CHUNK,
    Account,
    RunningServer,
    chunks_of,
    download,
    is_stored,
    problem,
    put,
    run_until_idle,
    sha256,
    start,
    start_body,
    until,
    upload_file,
)
from tests.support.sharing import make_folder, make_link, names_in, public

pytestmark = pytest.mark.usefixtures("invariants_hold")

LARGE = random.Random(13).randbytes(SMALLEST_CHUNK + 1000)


async def make_sender(account: Account, api: httpx2.AsyncClient, **limits: Any) -> Sender:
    folder_id = await make_folder(account, f"/{uuid.uuid4()}")
    return Sender(api, await make_link(account, folder_id, "upload", **limits))


async def children(account: Account, folder_id: str) -> list[dict[str, Any]]:
    listed = (await account.client.get("/v1/files", params={"parent_id": folder_id})).raise_for_status().json()
    items: list[dict[str, Any]] = listed["items"]
    return items


async def usage(account: Account) -> tuple[int, int]:
    me = await account.me()
    return me["used_bytes"], me["reserved_bytes"]


async def state_of(db: Db, upload_id: str) -> str:
    async with db.read() as tx:
        found = await tx.execute(text("SELECT state FROM uploads WHERE id = :id"), {"id": upload_id})
        return str(found.scalar_one())


async def age(db: Db, upload_id: str, hours: float) -> None:
    """Make all times of a session earlier."""
    aged = text("""
        UPDATE uploads SET expires_at = expires_at - :by * interval '1 hour',
            last_activity_at = last_activity_at - :by * interval '1 hour' WHERE id = :id
    """)
    async with db.begin() as tx:
        await tx.execute(aged, {"id": upload_id, "by": hours})


@pytest.mark.parametrize("more", [{}, MULTI], ids=["single", "multipart"])
async def test_file_sent_under_a_link_becomes_a_file_of_its_owner(
    account: Account, api: httpx2.AsyncClient, more: dict[str, Any]
) -> None:
    sender = await make_sender(account, api)
    done = await sender.upload(LARGE, "holiday.mov", **more)
    assert (done["state"], done["name"]) == ("completed", "holiday.mov")
    (file,) = await children(account, sender.link["node_id"])
    assert (file["name"], await download(account, file["id"])) == ("holiday.mov", LARGE)
    activity = (await account.client.get(f"/v1/files/{file['id']}/activity")).json()["items"]
    entry = next(item for item in activity if item["action"] == "uploaded-by-link")
    assert entry["detail"]["link"] == sender.link["id"]
    link = (await account.client.get(f"/v1/files/{sender.link['node_id']}/links")).json()["items"][0]
    assert (link["received_files"], link["received_bytes"]) == (1, len(LARGE))


async def test_start_repeated_with_its_reference_answers_the_same_session(
    account: Account, api: httpx2.AsyncClient
) -> None:
    sender = await make_sender(account, api)
    first = await sender.post_start(LARGE, client_ref="one", **MULTI)
    again = await sender.post_start(LARGE, client_ref="one", **MULTI)
    assert (first.status_code, again.status_code) == (201, 200)
    upload = first.json()["upload"]
    assert again.json()["upload"]["id"] == upload["id"]
    other = await sender.post_start(LARGE, "other name", client_ref="one", **MULTI)
    assert problem(other) == (422, "idempotency-mismatch")
    await sender.send(upload, LARGE)
    assert (await sender.complete(upload)).json()["state"] == "completed"
    third = await sender.post_start(LARGE, client_ref="one", **MULTI)
    assert (third.status_code, third.json()["upload"]["state"]) == (200, "completed")
    assert len(await children(account, sender.link["node_id"])) == 1


async def test_starts_of_one_reference_at_once_make_one_session(account: Account, api: httpx2.AsyncClient) -> None:
    sender = await make_sender(account, api)
    answers = await asyncio.gather(*(sender.post_start(LARGE, client_ref="one", **MULTI) for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [201]
    assert len({answer.json()["upload"]["id"] for answer in answers}) == 1


async def test_parts_sent_out_of_order_and_twice_complete_once(account: Account, api: httpx2.AsyncClient) -> None:
    sender = await make_sender(account, api)
    upload = await sender.start(LARGE, **MULTI)
    missing = await sender.complete(upload)
    assert problem(missing) == (409, "parts-missing")
    await sender.send(upload, LARGE, [2, 1])
    await sender.send(upload, LARGE, [1])
    seen = (await sender.ask("POST", upload["id"], "/reconcile")).json()
    assert (seen["uploaded"], seen["missing"]) == ("1-2", "")
    answers = await asyncio.gather(*(sender.complete(upload) for _ in range(4)))
    assert {answer.json()["state"] for answer in answers} == {"completed"}
    assert len(await children(account, sender.link["node_id"])) == 1


async def test_fingerprint_named_at_complete_is_bound_without_a_look_up(
    account: Account, api: httpx2.AsyncClient
) -> None:
    data = LARGE * 2
    await upload_file(account, data, "own", **MULTI)
    sender = await make_sender(account, api)
    upload = await sender.start(data, fingerprint=None, **MULTI)
    await sender.send(upload, data)
    assert problem(await sender.complete(upload)) == (409, "fingerprint-required")
    done = await sender.complete(upload, fingerprint=sha256(data))
    assert done.json()["state"] == "completed"
    assert problem(await sender.complete(upload, fingerprint="0" * 64)) == (409, "fingerprint-mismatch")


async def test_taken_name_is_renamed_and_the_sender_is_not_told(account: Account, api: httpx2.AsyncClient) -> None:
    sender = await make_sender(account, api)
    parent_id = sender.link["node_id"]
    await upload_file(account, b"mine", "report.pdf", destination={"parent_id": parent_id})
    done = await sender.upload(b"other", "report.pdf")
    assert done["name"] == "report.pdf"
    assert [file["name"] for file in await children(account, parent_id)] == ["report (1).pdf", "report.pdf"]
    assert "file_id" not in done
    assert "destinations" not in done


async def test_folders_of_a_sender_are_made_when_the_file_arrives(account: Account, api: httpx2.AsyncClient) -> None:
    sender = await make_sender(account, api)
    top = sender.link["node_id"]
    await upload_file(account, b"a file in the way", "photos", destination={"parent_id": top})
    upload = await sender.start(b"x", "a.jpg", folder_path="photos/2026")
    assert [file["name"] for file in await children(account, top)] == ["photos"]
    await sender.send(upload, b"x")
    assert (await sender.complete(upload)).json()["folder_path"] == "photos/2026"
    await sender.upload(b"y", "b.jpg", folder_path="photos/2026")
    made = {file["name"]: file for file in await children(account, top)}
    assert sorted(made) == ["photos", "photos (1)"], "the file in the way stays, and the sender is not told of it"
    (year,) = await children(account, made["photos (1)"]["id"])
    assert [file["name"] for file in await children(account, year["id"])] == ["a.jpg", "b.jpg"]


@pytest.mark.parametrize("path", ["/".join("a" * 21), "../out", "a/../../b"])
async def test_folder_path_out_of_bounds_is_refused(account: Account, api: httpx2.AsyncClient, path: str) -> None:
    sender = await make_sender(account, api)
    assert problem(await sender.post_start(b"x", folder_path=path)) == (422, "invalid-name")


async def test_batch_starts_and_completes_each_item_on_its_own(account: Account, api: httpx2.AsyncClient) -> None:
    sender = await make_sender(account, api)
    contents = [f"content {n}".encode() for n in range(3)]
    items = [sender.body(data, f"{n}.txt") for n, data in enumerate(contents)] + [sender.body(b"bad", "a/b")]
    body = {"secret_sha256": sender.secret_sha256, "items": items}
    started = (await api.post(public(sender.link, "/uploads/batch"), json=body)).raise_for_status().json()["items"]
    assert [bool(item["upload"]) for item in started] == [True, True, True, False]
    assert started[3]["problem"]["code"] == "invalid-name"
    for item, data in zip(started[:3], contents, strict=True):
        (await put(item["parts"][0], data)).raise_for_status()
    wanted = [{"upload_id": item["upload"]["id"]} for item in started[:3]] + [{"upload_id": str(uuid.uuid4())}]
    completed = await api.post(
        public(sender.link, "/uploads/batch/complete"),
        json={"items": wanted},
        headers={"X-Upload-Secret": sender.secret},
    )
    outcomes = completed.raise_for_status().json()["items"]
    assert [item["upload"] and item["upload"]["state"] for item in outcomes] == ["completed"] * 3 + [None]
    assert outcomes[3]["problem"]["code"] == "not-found"
    assert len(await children(account, sender.link["node_id"])) == 3


async def test_secret_replaces_the_password_of_the_link(account: Account, api: httpx2.AsyncClient) -> None:
    sender = await make_sender(account, api, password="open sesame")
    assert problem(await sender.post_start(b"x")) == (401, "link-password-required")
    sender.headers = {"X-Link-Password": "open sesame"}
    upload = await sender.start(b"x")
    sender.headers = {}
    await sender.send(upload, b"x")
    assert (await sender.complete(upload)).json()["state"] == "completed"


# Limits


async def test_limits_of_a_link_count_open_and_received_files(account: Account, api: httpx2.AsyncClient) -> None:
    sender = await make_sender(account, api, max_bytes=100, max_file_bytes=60, max_files=3)
    assert (await api.get(public(sender.link))).json()["max_file_bytes"] == 60
    too_large = await sender.post_start(b"x" * 61)
    assert problem(too_large) == (422, "size-not-allowed")
    await sender.upload(b"a" * 60, "a")
    upload = await sender.start(b"b" * 30, "b")
    refused = await sender.post_start(b"c" * 11, "c")
    assert (problem(refused), refused.json()["limit"]) == ((413, "link-full"), "max_bytes")
    form = await api.post(public(sender.link, "/upload"), files={"file": ("d", b"d" * 11)})
    assert problem(form) == (413, "link-full")
    form = await api.post(public(sender.link, "/upload"), files={"file": ("d", b"d" * 10)})
    assert form.status_code == 201
    refused = await sender.post_start(b"", "e")
    assert (problem(refused), refused.json()["limit"]) == ((413, "link-full"), "max_files")
    await sender.ask("DELETE", upload["id"])
    assert (await sender.post_start(b"f" * 30, "f")).status_code == 201


async def test_open_sessions_of_one_address_are_five(account: Account, api: httpx2.AsyncClient) -> None:
    sender = await make_sender(account, api)
    started = [await sender.start(b"x" * n, f"{n}") for n in range(1, 6)]
    assert problem(await sender.post_start(b"x" * 6)) == (429, "too-many-uploads")
    assert (await sender.ask("DELETE", started[0]["id"])).status_code == 204
    assert (await sender.post_start(b"x" * 6)).status_code == 201


async def test_open_sessions_under_one_link_are_twenty(
    server: RunningServer, account: Account, api: httpx2.AsyncClient
) -> None:
    sender = await make_sender(account, api)
    other_address = text("UPDATE uploads SET sender_address = id::text WHERE link_id = :id")
    for n in range(20):
        await sender.start(b"x" * (n + 1), f"{n}")
        async with server.db.begin() as tx:
            await tx.execute(other_address, {"id": sender.link["id"]})
    assert problem(await sender.post_start(b"y")) == (429, "too-many-uploads")
    own = await account.client.post("/v1/uploads", json=start_body(b"own", f"{uuid.uuid4()}"))
    assert own.status_code == 201, "the owner's own sessions do not count"


async def test_session_reserves_what_is_signed_and_not_its_size(account: Account, api: httpx2.AsyncClient) -> None:
    sender = await make_sender(account, api)
    used, reserved = await usage(account)
    size = 50 * 1024 * MIB
    upload = (await sender.post_start(b"", size_bytes=size, fingerprint=None)).raise_for_status().json()["upload"]
    assert await usage(account) == (used, reserved)
    parts = [{"number": n, "sha256": sha256(str(n).encode())} for n in range(1, 4)]
    answer = await sender.ask("POST", upload["id"], "/parts", json={"parts": parts})
    assert len(answer.raise_for_status().json()["parts"]) == 3
    assert await usage(account) == (used, reserved + 3 * upload["chunk_size_bytes"])
    await sender.ask("POST", upload["id"], "/parts", json={"parts": parts})
    assert await usage(account) == (used, reserved + 3 * upload["chunk_size_bytes"]), "signing again reserves nothing"
    await sender.ask("DELETE", upload["id"])
    assert await usage(account) == (used, reserved)


async def test_window_gives_fewer_parts_and_refuses_beyond(
    server: RunningServer, register: Register, api: httpx2.AsyncClient
) -> None:
    account = await register()
    await set_quota(server.db, account, 5 * 1024 * MIB)
    sender = await make_sender(account, api)
    size = 4 * 1024 * MIB
    upload = (await sender.post_start(b"", size_bytes=size, fingerprint=None)).raise_for_status().json()["upload"]
    parts = [{"number": n, "sha256": sha256(str(n).encode())} for n in range(1, 201)]
    answer = (await sender.ask("POST", upload["id"], "/parts", json={"parts": parts})).raise_for_status().json()
    fitting = 1024 * MIB // upload["chunk_size_bytes"]
    assert [part["number"] for part in answer["parts"]] == list(range(1, fitting + 1))
    beyond = await sender.ask("POST", upload["id"], "/parts", json={"parts": parts[fitting:]})
    assert problem(beyond) == (429, "too-many-uploads")
    other = await sender.post_start(b"another file")
    assert problem(other) == (429, "too-many-uploads"), "the window is that of all open sessions"
    again = await sender.ask("POST", upload["id"], "/parts", json={"parts": parts[:2]})
    assert len(again.raise_for_status().json()["parts"]) == 2


async def set_quota(db: Db, account: Account, quota_bytes: int) -> None:
    async with db.begin() as tx:
        changed = text("UPDATE users SET quota_bytes = :quota WHERE email = :email")
        await tx.execute(changed, {"quota": quota_bytes, "email": account.email})


async def test_parts_that_arrived_make_room_in_the_window(
    server: RunningServer, register: Register, api: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dropbox_api.uploads.senders.window.SMALLEST_BYTES", SMALLEST_CHUNK)
    account = await register()
    await set_quota(server.db, account, 20 * MIB)
    sender = await make_sender(account, api)
    data = LARGE * 2
    upload = await sender.start(data, **MULTI)
    assert upload["chunk_count"] == 3
    for number in (1, 2, 3):
        signed = (await sender.sign(upload, data, list(range(number, 4)))).raise_for_status().json()["parts"]
        assert [part["number"] for part in signed] == [number]
        if number < 3:
            unsent = await sender.sign(upload, data, [number + 1])
            assert problem(unsent) == (429, "too-many-uploads")
        (await put(signed[0], chunks_of(data, upload["chunk_size_bytes"])[number - 1])).raise_for_status()
    assert (await sender.complete(upload)).json()["state"] == "completed"


async def test_quota_that_is_used_up_refuses_without_numbers(
    server: RunningServer, register: Register, api: httpx2.AsyncClient
) -> None:
    account = await register()
    await set_quota(server.db, account, 1000)
    sender = await make_sender(account, api)
    refused = await sender.post_start(b"x" * 1001)
    assert problem(refused) == (413, "quota-exceeded")
    assert {"quota_bytes", "used_bytes", "reserved_bytes"}.isdisjoint(refused.json())


async def test_start_of_the_owner_ends_as_many_sessions_without_a_part_as_it_needs_silent_ones_first(
    server: RunningServer, register: Register, api: httpx2.AsyncClient
) -> None:
    account = await register()
    await set_quota(server.db, account, 12 * MIB)
    sender = await make_sender(account, api)
    begun = await sender.start(LARGE, "begun", **MULTI)
    await sender.send(begun, LARGE, [2])
    await sender.ask("POST", begun["id"], "/reconcile")
    unsigned = await sender.start(b"z" * 2 * SMALLEST_CHUNK, "unsigned", **MULTI)  # reserves nothing
    silent = await sender.start(b"x" * 7 * MIB, "silent")
    recent = await sender.start(b"x" * MIB, "recent")
    own = await start(account, b"y" * 7 * MIB, "own")
    assert own["state"] == "active"
    states = [await state_of(server.db, upload["id"]) for upload in (begun, unsigned, silent, recent)]
    assert states == ["active", "active", "aborted", "active"]


async def test_form_under_a_link_that_lacks_space_ends_no_session_of_another_sender(
    server: RunningServer, register: Register, api: httpx2.AsyncClient
) -> None:
    account = await register()
    await set_quota(server.db, account, len(LARGE) + 100)
    sender = await make_sender(account, api)
    upload = await sender.start(LARGE, **MULTI)
    await sender.send(upload, LARGE)
    form = await api.post(public(sender.link, "/upload"), files={"file": ("form", bytes(1000))})
    assert problem(form) == (413, "quota-exceeded")
    assert (await sender.complete(upload)).json()["state"] == "completed"


async def test_part_that_is_signed_is_signed_again_when_no_room_is_left(
    server: RunningServer, register: Register, api: httpx2.AsyncClient
) -> None:
    account = await register()
    sender = await make_sender(account, api)
    upload = await sender.start(LARGE, **MULTI)
    await sender.sign(upload, LARGE, [1])
    await set_quota(server.db, account, len(LARGE) // 2)
    parts = (await sender.sign(upload, LARGE, [1, 2])).raise_for_status().json()["parts"]
    assert [part["number"] for part in parts] == [1]
    assert problem(await sender.sign(upload, LARGE, [2])) == (413, "quota-exceeded")
    await set_quota(server.db, account, 2 * len(LARGE))


async def test_sessions_under_a_link_are_outside_the_owners_own(account: Account, api: httpx2.AsyncClient) -> None:
    sender = await make_sender(account, api)
    data = LARGE + uuid.uuid4().bytes
    upload = await sender.start(data, **MULTI)
    listed = (await account.client.get("/v1/uploads", params={"fingerprint": sha256(data)})).json()["items"]
    assert listed == []
    assert (await account.client.get(f"/v1/fingerprints/{sha256(data)}")).status_code == 404
    assert (await account.client.get(f"/v1/uploads/{upload['id']}")).status_code == 404
    batch = {"upload_ids": [upload["id"]]}
    outcome = (await account.client.post("/v1/uploads/batch/complete", json=batch)).json()["items"][0]
    assert outcome["problem"]["code"] == "not-found"
    own = (await account.client.post("/v1/uploads", json=start_body(data, "own", **MULTI))).json()
    assert own["upload"]["id"] != upload["id"]


# Ends


async def test_session_without_a_part_ends_after_an_hour_and_calls_do_not_prolong_it(
    server: RunningServer, account: Account, api: httpx2.AsyncClient
) -> None:
    sender = await make_sender(account, api)
    upload = await sender.start(LARGE, **MULTI)
    await age(server.db, upload["id"], 0.9)
    for path in ("/reconcile", "/parts"):
        body = {"parts": [{"number": 1, "sha256": "0" * 64}]} if path == "/parts" else None
        (await sender.ask("POST", upload["id"], path, json=body)).raise_for_status()
    await expire_uploads(server.services)
    assert await state_of(server.db, upload["id"]) == "active"
    await age(server.db, upload["id"], 0.2)
    await expire_uploads(server.services)
    assert await state_of(server.db, upload["id"]) == "expired"
    assert problem(await sender.sign(upload, LARGE, [1])) == (409, "upload-expired")


async def test_session_with_a_part_lives_for_a_day_after_the_last_call(
    server: RunningServer, account: Account, api: httpx2.AsyncClient
) -> None:
    sender = await make_sender(account, api)
    upload = await sender.start(LARGE, **MULTI)
    await sender.send(upload, LARGE, [1])
    await sender.sign(upload, LARGE, [2])
    await age(server.db, upload["id"], 23.9)
    await expire_uploads(server.services)
    assert await state_of(server.db, upload["id"]) == "active"
    for path, body, status in (("/reconcile", None, 200), ("/complete", {"fingerprint": sha256(LARGE)}, 409)):
        assert (await sender.ask("POST", upload["id"], path, json=body)).status_code == status
        await age(server.db, upload["id"], 23.9)
        await expire_uploads(server.services)
        assert await state_of(server.db, upload["id"]) == "active"
    await age(server.db, upload["id"], 0.2)
    await expire_uploads(server.services)
    assert await state_of(server.db, upload["id"]) == "expired"


async def test_session_about_which_the_store_is_silent_expires_a_day_later(
    server: RunningServer, account: Account, api: httpx2.AsyncClient, s3_config: S3Config
) -> None:
    sender = await make_sender(account, api)
    upload = await sender.start(LARGE, **MULTI)
    await sender.send(upload, LARGE, [1])
    await age(server.db, upload["id"], 24.9)  # 23.9 hours after its end
    async with S3Store.open(replace(s3_config, endpoint_url="http://127.0.0.1:9")) as away:
        silent = replace(server.services, store=away)
        await expire_uploads(silent)
        assert await state_of(server.db, upload["id"]) == "active"
        await age(server.db, upload["id"], 0.2)
        await expire_uploads(silent)
        assert await state_of(server.db, upload["id"]) == "expired"


async def test_session_whose_parts_arrived_without_a_call_lives_for_a_day_after_the_last_one(
    server: RunningServer, account: Account, api: httpx2.AsyncClient
) -> None:
    sender = await make_sender(account, api)
    upload = await sender.start(LARGE, **MULTI)
    await sender.send(upload, LARGE)
    await age(server.db, upload["id"], 1.1)
    await expire_uploads(server.services)
    assert (await sender.ask("GET", upload["id"])).json()["uploaded"] == "1-2"
    assert (await sender.complete(upload)).json()["state"] == "completed"


async def test_expiry_of_the_link_lets_a_begun_session_finish(
    server: RunningServer, account: Account, api: httpx2.AsyncClient
) -> None:
    sender = await make_sender(account, api)
    upload = await sender.start(LARGE, **MULTI)
    await sender.send(upload, LARGE, [1])
    async with server.db.begin() as tx:
        expired = text("UPDATE links SET expires_at = now() - interval '1 second' WHERE id = :id")
        await tx.execute(expired, {"id": sender.link["id"]})
    assert problem(await sender.post_start(b"new")) == (404, "not-found")
    await sender.send(upload, LARGE, [2])
    assert (await sender.complete(upload)).json()["state"] == "completed"


async def _revoke(account: Account, link: dict[str, Any], db: Db) -> None:
    (await account.client.delete(f"/v1/links/{link['id']}")).raise_for_status()


async def _trash(account: Account, link: dict[str, Any], db: Db) -> None:
    (await account.client.delete(f"/v1/files/{link['node_id']}")).raise_for_status()


async def _disable(account: Account, link: dict[str, Any], db: Db) -> None:
    async with db.begin() as tx:
        disabled = text("UPDATE users SET disabled_at = now() WHERE email = :email")
        await tx.execute(disabled, {"email": account.email})


async def _change_password(account: Account, link: dict[str, Any], db: Db) -> None:
    changed = await account.client.patch(f"/v1/links/{link['id']}", json={"password": "another one"})
    changed.raise_for_status()


async def _delete_owner(account: Account, link: dict[str, Any], db: Db) -> None:
    requested = await account.client.post("/v1/me/deletion", json={"password": account.password})
    requested.raise_for_status()


CLOSINGS = [_revoke, _trash, _disable, _change_password, _delete_owner]


@pytest.mark.parametrize("close", CLOSINGS)
async def test_session_ends_with_its_link(
    server: RunningServer, register: Register, api: httpx2.AsyncClient, close: Any
) -> None:
    account = await register()
    sender = await make_sender(account, api)
    upload = await sender.start(LARGE, **MULTI)
    await sender.send(upload, LARGE, [1])
    await close(account, sender.link, server.db)
    refused = await sender.sign(upload, LARGE, [2])
    assert problem(refused) == ((409, "upload-ended") if close is _change_password else (404, "not-found"))
    assert await state_of(server.db, upload["id"]) == "aborted"


@pytest.mark.parametrize("close", CLOSINGS)
async def test_worker_ends_the_sessions_of_a_closed_link(
    server: RunningServer, register: Register, api: httpx2.AsyncClient, close: Any
) -> None:
    account = await register()
    sender = await make_sender(account, api)
    upload = await sender.start(LARGE, **MULTI)
    await sender.send(upload, LARGE)
    await sender.ask("POST", upload["id"], "/reconcile")
    await close(account, sender.link, server.db)
    async with server.db.begin() as tx:
        await tx.execute(
            text("UPDATE uploads SET next_check_at = now() - interval '1 year' WHERE id = :id"), {"id": upload["id"]}
        )
    await finish_idle_uploads(server.services)
    await expire_uploads(server.services)
    assert await state_of(server.db, upload["id"]) == "aborted"


async def test_worker_finishes_what_a_sender_left_as_the_bearer_of_the_link(
    server: RunningServer, account: Account, api: httpx2.AsyncClient
) -> None:
    sender = await make_sender(account, api)
    upload = await sender.start(LARGE, "left.bin", **MULTI)
    await sender.send(upload, LARGE)
    async with server.db.begin() as tx:
        await tx.execute(
            text("UPDATE uploads SET next_check_at = now() - interval '1 year' WHERE id = :id"), {"id": upload["id"]}
        )
    await finish_idle_uploads(server.services)
    assert (await sender.ask("GET", upload["id"])).json()["state"] == "completed"
    (file,) = await children(account, sender.link["node_id"])
    async with server.db.read() as tx:
        actor = text("SELECT actor_kind, actor_id FROM events WHERE node_id = :id AND kind = 'file.created'")
        assert tuple((await tx.execute(actor, {"id": file["id"]})).one()) == ("link", uuid.UUID(sender.link["id"]))
        entry = text("SELECT actor_id FROM audit_log WHERE node_id = :id AND action = 'uploaded-by-link'")
        assert (await tx.execute(entry, {"id": file["id"]})).scalar_one() is None


async def test_content_without_a_place_is_deleted_at_once(
    server: RunningServer, register: Register, api: httpx2.AsyncClient
) -> None:
    account = await register()
    sender = await make_sender(account, api)
    upload = await sender.start(LARGE, folder_path="new/below", **MULTI)
    await sender.send(upload, LARGE)
    async with server.db.begin() as tx:
        full = text("UPDATE users SET quota_nodes = used_nodes + reserved_nodes + 1 WHERE email = :email")
        await tx.execute(full, {"email": account.email})
        found = await tx.execute(text("SELECT storage_key FROM uploads WHERE id = :id"), {"id": upload["id"]})
        key = str(found.scalar_one())
    answer = await sender.complete(upload)
    assert problem(answer) == (409, "upload-failed")
    assert (await sender.ask("GET", upload["id"])).json()["failure"] == "the folder takes no more files"
    assert await children(account, sender.link["node_id"]) == [], "the folder that had room is not made"
    assert (await account.me())["used_nodes"] == 1
    assert not await is_stored(server.store, key)
    await collect_blobs(server.services)
    assert await usage(account) == (0, 0)


# The owner


async def test_owner_lists_and_aborts_sessions_under_a_link(
    account: Account, register: Register, api: httpx2.AsyncClient
) -> None:
    sender, other = await make_sender(account, api), await make_sender(account, api)
    upload = await sender.start(LARGE, "coming.bin", folder_path="a/b", **MULTI)
    await other.start(b"x")
    await sender.upload(b"done", "done.txt")
    address = f"/v1/links/{sender.link['id']}/uploads"
    assert await names_in(account.client, address) == ["done.txt", "coming.bin"]
    assert await names_in(account.client, address, state="active") == ["coming.bin"]
    first = (await account.client.get(address, params={"limit": 1})).json()
    assert await names_in(account.client, address, limit=1, cursor=first["next_cursor"]) == ["coming.bin"]
    stranger = await register()
    for client in (stranger.client, api):
        assert (await client.get(address)).status_code in {401, 404}
        assert (await client.delete(f"{address}/{upload['id']}")).status_code in {401, 404}
    elsewhere = f"/v1/links/{other.link['id']}/uploads/{upload['id']}"
    assert (await account.client.delete(elsewhere)).status_code == 404
    assert (await account.client.delete(f"{address}/{upload['id']}")).status_code == 204
    assert problem(await sender.sign(upload, LARGE, [1])) == (409, "upload-ended")


@pytest.mark.parametrize("mode", ["view", "download"])
async def test_link_of_another_mode_takes_no_sessions_and_no_limits(
    account: Account, api: httpx2.AsyncClient, mode: str
) -> None:
    link = await make_link(account, await make_folder(account, f"/{uuid.uuid4()}"), mode)
    assert problem(await Sender(api, link).post_start(b"x")) == (403, "link-not-for")
    changed = await account.client.patch(f"/v1/links/{link['id']}", json={"max_files": 1})
    assert problem(changed) == (422, "invalid-request")
    body = {"mode": mode, "max_bytes": 5}
    made = await account.client.post(f"/v1/files/{link['node_id']}/links", json=body)
    assert problem(made) == (422, "invalid-request")


# Between Complete and T2


@pytest.mark.parametrize("close", CLOSINGS)
async def test_content_recorded_after_its_link_was_closed_is_deleted(
    server: RunningServer, register: Register, api: httpx2.AsyncClient, close: Any
) -> None:
    """The store has assembled the object, and the link is closed before the transaction that would record it."""
    account = await register()
    sender = await make_sender(account, api)
    upload = await sender.start(LARGE, **MULTI)
    await sender.send(upload, LARGE)
    failpoints.arm("uploads.complete.after_head=raise")
    assert (await sender.complete(upload)).status_code == 500
    async with server.db.begin() as tx:
        lapsed = text(
            "UPDATE uploads SET lease_until = now(), next_check_at = now() - interval '1 year'"
            " WHERE id = :id RETURNING storage_key"
        )
        key = str((await tx.execute(lapsed, {"id": upload["id"]})).scalar_one())
    assert await is_stored(server.store, key)
    assert await state_of(server.db, upload["id"]) == "completing"
    await close(account, sender.link, server.db)
    await finish_stale_uploads(server.services)
    await expire_uploads(server.services)
    assert await state_of(server.db, upload["id"]) == "aborted"
    assert await children_of(server.db, sender.link["node_id"]) == 0
    async with server.db.begin() as tx:
        ended = text("UPDATE uploads SET ended_at = ended_at - interval '1 day' WHERE id = :id")
        await tx.execute(ended, {"id": upload["id"]})
    await run_until_idle(discard_leftovers, server.services)
    assert not await is_stored(server.store, key)


@pytest.mark.parametrize("close", [_trash, _disable])
async def test_link_closed_while_its_content_is_recorded_keeps_nothing(
    server: RunningServer, register: Register, api: httpx2.AsyncClient, close: Any
) -> None:
    """The check before Complete has passed: only the one under the owner's lock can refuse the content."""
    account = await register()
    sender = await make_sender(account, api)
    upload = await sender.start(LARGE, **MULTI)
    await sender.send(upload, LARGE)
    failpoints.arm("uploads.complete.after_head=delay:1")
    completing = asyncio.create_task(sender.complete(upload))
    await until(lambda: is_assembled(server, upload["id"]))
    await close(account, sender.link, server.db)
    assert problem(await completing) == (404, "not-found")
    assert await state_of(server.db, upload["id"]) == "aborted"
    assert not await is_stored(server.store, await key_of(server.db, upload["id"])), "deleted at once"
    assert await children_of(server.db, sender.link["node_id"]) == 0


async def is_assembled(server: RunningServer, upload_id: str) -> bool:
    return await is_stored(server.store, await key_of(server.db, upload_id))


async def key_of(db: Db, upload_id: str) -> str:
    async with db.read() as tx:
        found = await tx.execute(text("SELECT storage_key FROM uploads WHERE id = :id"), {"id": upload_id})
        return str(found.scalar_one())


async def children_of(db: Db, folder_id: str) -> int:
    async with db.read() as tx:
        counted = text("SELECT count(*) FROM nodes WHERE parent_id = :id")
        return int((await tx.execute(counted, {"id": folder_id})).scalar_one())


# The SDK


async def test_sdk_sends_files_of_any_size_to_a_link(
    server: RunningServer, account: Account, api: httpx2.AsyncClient
) -> None:
    sender = await make_sender(account, api)
    address = f"{server.url}{sender.link['url_path']}"
    data = LARGE * 3

    def send_blocking() -> None:
        with Client(server.url) as visitor:
            visitor.public.upload_to_link(b"", address, "empty")
            visitor.public.upload_to_link(b"small", address, "small", folder_path="a/b")
            assert visitor.public.upload_to_link(data, address, "large").state == "completed"

    await asyncio.to_thread(send_blocking)
    async with AsyncClient(server.url) as visitor:
        assert (await visitor.public.upload_to_link(data, address, "large too")).state == "completed"
    files = {file["name"]: file for file in await children(account, sender.link["node_id"])}
    assert sorted(files) == ["a", "empty", "large", "large too"]
    assert await download(account, files["large"]["id"]) == data
    assert await download(account, files["large too"]["id"]) == data


async def test_sdk_continues_an_interrupted_upload_to_a_link(
    server: RunningServer, account: Account, api: httpx2.AsyncClient, tmp_path: Path
) -> None:
    sender = await make_sender(account, api)
    data = LARGE * 4
    path = tmp_path / "large.bin"
    path.write_bytes(data)

    def send(stop_at: int) -> list[int]:
        seen: list[int] = []

        def watch(done_bytes: int, _: int) -> None:
            seen.append(done_bytes)
            if done_bytes >= stop_at:
                raise KeyError(done_bytes)

        with Client(server.url) as visitor:
            visitor.public.upload_to_link(path, sender.link["token"], secret=sender.secret, progress=watch)
        return seen

    with pytest.raises(KeyError):
        await asyncio.to_thread(send, 1)
    seen = await asyncio.to_thread(send, len(data) + 1)
    assert len(seen) > 1, "the first call tells what the store has already"
    assert seen[0] > 0
    (file,) = await children(account, sender.link["node_id"])
    assert (file["name"], await download(account, file["id"])) == ("large.bin", data)
