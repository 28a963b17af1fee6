"""Sessions under upload links under attack: another sender's secret, a closed link, names and content of the owner."""

import asyncio
import random
import uuid
from typing import Any

import httpx2
import pytest
from sqlalchemy import text

from dropbox_api.settings import MIB
from tests.conftest import Register
from tests.support.senders import Sender
from tests.support.server import MULTI, SMALLEST_CHUNK, Account, RunningServer, put, sha256, upload_file
from tests.support.sharing import make_folder, make_link, public

pytestmark = pytest.mark.usefixtures("invariants_hold")

LARGE = random.Random(31).randbytes(SMALLEST_CHUNK + 1000)
ZEROS = "0" * 64
CALLS: list[tuple[str, str, dict[str, Any] | None]] = [
    ("GET", "", None),
    ("POST", "/parts", {"parts": [{"number": 1, "sha256": ZEROS}]}),
    ("POST", "/reconcile", None),
    ("POST", "/complete", {}),
    ("POST", "/complete", {"fingerprint": ZEROS}),
    ("DELETE", "", None),
]


async def make_upload_link(account: Account, **more: Any) -> dict[str, Any]:
    return await make_link(account, await make_folder(account, f"/{uuid.uuid4()}"), "upload", **more)


def stable(answer: httpx2.Response) -> dict[str, Any]:
    """Return what two equal refusals have in common."""
    body: dict[str, Any] = answer.json()
    return {name: value for name, value in body.items() if name not in {"instance", "request_id"}}


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
async def test_session_of_another_sender_is_answered_as_an_unknown_one(
    account: Account, api: httpx2.AsyncClient, method: str, path: str, body: dict[str, Any] | None
) -> None:
    link, elsewhere = await make_upload_link(account), await make_upload_link(account)
    sender = Sender(api, link)
    upload = await sender.start(LARGE, **MULTI)
    await sender.send(upload, LARGE, [1])
    attackers = [
        Sender(api, link),
        Sender(api, link, secret="short"),
        Sender(api, link, secret=sender.secret_sha256),
        Sender(api, elsewhere, secret=sender.secret),
        Sender(api, {"token": "x" * 43}, secret=sender.secret),
    ]
    unknown = await sender.ask(method, str(uuid.uuid4()), path, json=body)
    assert unknown.status_code == 404
    for attacker in attackers:
        answer = await attacker.ask(method, upload["id"], path, json=body)
        assert stable(answer) == stable(unknown)
    without = await api.request(method, public(link, f"/uploads/{upload['id']}{path}"), json=body)
    assert stable(without) == stable(unknown)
    assert (await sender.ask("GET", upload["id"])).json()["state"] == "active"


async def test_start_with_the_reference_of_another_sender_makes_another_session(
    account: Account, api: httpx2.AsyncClient
) -> None:
    link = await make_upload_link(account)
    first, second = Sender(api, link), Sender(api, link)
    mine = await first.start(LARGE, client_ref="same", **MULTI)
    other = await second.post_start(LARGE, client_ref="same", **MULTI)
    assert (other.status_code, other.json()["upload"]["id"] == mine["id"]) == (201, False)


async def test_owner_has_no_way_to_a_session_but_list_and_abort(account: Account, api: httpx2.AsyncClient) -> None:
    sender = Sender(api, await make_upload_link(account))
    upload = await sender.start(LARGE, **MULTI)
    for method, path, body in CALLS:
        address = f"/v1/uploads/{upload['id']}{path}"
        assert (await account.client.request(method, address, json=body)).status_code in {404, 422}
    destination = {"destination": {"name": "mine"}}
    added = await account.client.post(f"/v1/uploads/{upload['id']}/destinations", json=destination)
    assert added.status_code == 404
    bound = await account.client.put(f"/v1/uploads/{upload['id']}/fingerprint", json={"fingerprint": ZEROS})
    assert bound.status_code == 404


async def test_sender_learns_nothing_of_the_owners_content_and_names(account: Account, api: httpx2.AsyncClient) -> None:
    link = await make_upload_link(account)
    for name, data in (("known.bin", LARGE), ("small.txt", b"known")):
        await upload_file(
            account, data, name, destination={"parent_id": link["node_id"]}, **(MULTI if data is LARGE else {})
        )
    for name, data, more in (("known.bin", LARGE, MULTI), ("small.txt", b"known", {})):
        answers = []
        for content, called in ((data, name), (bytes(len(data)), f"{uuid.uuid4()}")):
            sender = Sender(api, link)
            answer = await sender.post_start(content, called, **more)
            upload = answer.json()["upload"]
            await sender.send(upload, content)
            done = (await sender.complete(upload)).json()
            answers.append([answer.status_code, answer.json().keys(), upload["missing"], done["state"], done.keys()])
        assert answers[0] == answers[1]


async def test_folder_of_a_sender_that_exists_is_answered_as_a_new_one(
    account: Account, api: httpx2.AsyncClient
) -> None:
    link = await make_upload_link(account)
    top = link["node_id"]
    await upload_file(account, b"x", "file", destination={"parent_id": top})
    made = await account.client.post("/v1/folders", json={"name": "folder", "parent_id": top})
    assert made.status_code == 201
    seen = []
    for path in ("file", "folder", "new"):
        done = await Sender(api, link).upload(b"content", "a.txt", folder_path=path)
        seen.append({name: value for name, value in done.items() if name in {"state", "name", "failure"}})
    assert seen[0] == seen[1] == seen[2]


async def test_file_of_the_owner_keeps_its_time_when_equal_content_is_sent(
    account: Account, api: httpx2.AsyncClient
) -> None:
    link = await make_upload_link(account)
    place = {"parent_id": link["node_id"]}
    file = await upload_file(account, b"mine", "a.txt", destination=place, client_modified_at="2020-01-01T00:00:00Z")
    refused = await Sender(api, link).post_start(b"mine", "a.txt", client_modified_at="2030-01-01T00:00:00Z")
    assert refused.status_code == 422
    await Sender(api, link).upload(b"mine", "a.txt")
    now = (await account.client.get(f"/v1/files/{file['id']}")).json()
    assert (now["revision_id"], now["client_modified_at"]) == (file["revision_id"], file["client_modified_at"])


async def test_concurrent_starts_stay_below_every_limit(
    server: RunningServer, register: Register, api: httpx2.AsyncClient
) -> None:
    account = await register()
    async with server.db.begin() as tx:
        quota = text("UPDATE users SET quota_bytes = :quota WHERE email = :email")
        await tx.execute(quota, {"quota": 20 * MIB, "email": account.email})
    sender = Sender(api, await make_upload_link(account, max_files=3))
    answers = await asyncio.gather(*(sender.post_start(b"x" * 4 * MIB) for _ in range(12)))
    assert sorted(answer.status_code for answer in answers) == [201] * 3 + [413] * 9
    sender = Sender(api, await make_upload_link(account))
    answers = await asyncio.gather(*(sender.post_start(b"y" * 100) for _ in range(12)))
    assert sorted(answer.status_code for answer in answers) == [201] * 5 + [429] * 7


async def test_concurrent_signing_reserves_each_part_once(
    server: RunningServer, register: Register, api: httpx2.AsyncClient
) -> None:
    account = await register()
    sender = Sender(api, await make_upload_link(account))
    upload = await sender.start(LARGE, **MULTI)
    await asyncio.gather(*(sender.sign(upload, LARGE) for _ in range(8)))
    assert (await account.me())["reserved_bytes"] == len(LARGE)


async def test_url_of_a_part_stores_nothing_but_its_bytes(account: Account, api: httpx2.AsyncClient) -> None:
    sender = Sender(api, await make_upload_link(account))
    upload = await sender.start(LARGE, **MULTI)
    (part,) = (await sender.sign(upload, LARGE, [1])).json()["parts"]
    assert (await put(part, bytes(SMALLEST_CHUNK))).status_code >= 400
    other = await sender.ask("POST", upload["id"], "/parts", json={"parts": [{"number": 1, "sha256": ZEROS}]})
    assert other.json()["code"] == "chunk-mismatch"


async def test_password_of_the_link_is_asked_for_at_every_start(account: Account, api: httpx2.AsyncClient) -> None:
    sender = Sender(api, await make_upload_link(account, password="open sesame"), headers={})
    wrong = {"X-Link-Password": "wrong one"}
    for headers in ({}, wrong, {"X-Upload-Secret": sender.secret}):
        sender.headers = headers
        assert (await sender.post_start(b"x")).status_code == 401
    body = {"secret_sha256": sender.secret_sha256, "items": [sender.body(b"x")]}
    batch = await api.post(public(sender.link, "/uploads/batch"), json=body, headers=wrong)
    assert batch.status_code == 401


async def test_answers_to_a_sender_are_kept_out_of_caches_and_referrers(
    account: Account, api: httpx2.AsyncClient
) -> None:
    sender = Sender(api, await make_upload_link(account))
    started = await sender.post_start(LARGE, **MULTI)
    upload = started.json()["upload"]
    for answer in (started, await sender.ask("GET", upload["id"]), await sender.sign(upload, LARGE)):
        assert (answer.headers["cache-control"], answer.headers["referrer-policy"]) == ("no-store", "no-referrer")
    assert sender.secret not in started.text
    assert sha256(sender.secret.encode()) not in started.text


async def test_start_that_waits_while_the_password_changes_is_refused(
    server: RunningServer, account: Account, api: httpx2.AsyncClient
) -> None:
    """The old password was right when the start was asked for: the new one decides under the owner's lock."""
    old = {"X-Link-Password": "open sesame"}
    sender = Sender(api, await make_upload_link(account, password="open sesame"), headers=old)
    blocked = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    async with server.db.begin() as tx:
        await tx.execute(text("SELECT FROM users WHERE email = :e FOR NO KEY UPDATE"), {"e": account.email})
        change = account.client.patch(f"/v1/links/{sender.link['id']}", json={"password": "another one"})
        waiting = []
        for number, request in enumerate((change, sender.post_start(b"x")), 1):
            waiting.append(asyncio.create_task(request))
            async with asyncio.timeout(30):
                while (await tx.execute(blocked)).scalar_one() < number:  # noqa: ASYNC110 - no event to wait for
                    await asyncio.sleep(0.01)
    changed, started = await asyncio.gather(*waiting)
    assert changed.status_code == 200
    assert (started.status_code, started.json()["code"]) == (401, "link-password-required")
