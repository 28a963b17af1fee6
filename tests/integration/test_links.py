"""Links: created by owners, used without an account through the API and the pages."""

import asyncio
import io
import re
import uuid
import zipfile
from collections import defaultdict
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from sqlalchemy import text

from dropbox_api.db import Db
from dropbox_api.settings import AuthSettings
from dropbox_api.sharing.link_tokens import PASS_TTL_S, LinkTokens
from dropbox_api.storage.s3 import S3Config
from tests.conftest import Register
from tests.support.server import (
    NO_LIMITS,
    NO_TLS,
    Account,
    RunningServer,
    make_settings,
    problem,
    running_server,
    sha256,
    upload_file,
)
from tests.support.sharing import make_folder, make_link, names_in, public

pytestmark = pytest.mark.usefixtures("invariants_hold")


GONE = (404, "not-found")
PASSWORD = "Käse & Brot"


async def fetch(api: httpx2.AsyncClient, link: dict[str, Any], file_id: str, **more: Any) -> httpx2.Response:
    return await api.get(public(link, f"/files/{file_id}/content"), follow_redirects=True, **more)


async def activity(owner: Account, node_id: str) -> list[tuple[str, dict[str, Any]]]:
    listed = (await owner.client.get(f"/v1/files/{node_id}/activity")).raise_for_status().json()
    return [(entry["action"], entry["detail"]) for entry in listed["items"]]


async def send(api: httpx2.AsyncClient, link: dict[str, Any], name: str, data: bytes, **fields: str) -> httpx2.Response:
    return await api.post(public(link, "/upload"), files={"file": (name, data, "text/plain")}, data=fields)


# Create, list, change, revoke


async def test_link_is_created_listed_changed_and_revoked(account: Account, api: httpx2.AsyncClient, db: Db) -> None:
    file = await upload_file(account, b"hello", "hello.txt")
    at = f"/v1/files/{file['id']}/links"
    link = await make_link(account, file["id"], password=PASSWORD, max_downloads=5)
    assert link["url_path"] == f"/s/{link['token']}"
    assert (link["mode"], link["has_password"], link["max_downloads"], link["downloads"]) == ("download", True, 5, 0)
    assert link["expires_at"] is None
    assert (await account.client.get(at)).json() == {"items": [link], "next_cursor": None}
    changed = await account.client.patch(f"/v1/links/{link['id']}", json={"password": None})
    assert changed.json() == link | {"has_password": False}
    until = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    changed = await account.client.patch(f"/v1/links/{link['id']}", json={"expires_at": until, "max_downloads": None})
    assert (changed.json()["expires_at"] is not None, changed.json()["max_downloads"]) == (True, None)
    assert (await api.get(public(link))).status_code == 200
    assert (await account.client.delete(f"/v1/links/{link['id']}")).status_code == 204
    assert problem(await api.get(public(link))) == GONE
    assert problem(await account.client.delete(f"/v1/links/{link['id']}")) == GONE
    assert (await account.client.get(at)).json()["items"] == []
    told = [action for action, _ in await activity(account, file["id"])]
    assert told == ["link-revoked", "link-changed", "link-changed", "link-created", "created"]
    async with db.read() as tx:
        rows = await tx.execute(text("SELECT links::text || coalesce(answer::text, '') FROM links, idempotency_keys"))
        assert all(link["token"] not in row for (row,) in rows)


async def test_create_link_under_one_key_creates_one_and_stores_no_token(account: Account, db: Db) -> None:
    file = await upload_file(account, b"once", "once.txt")
    at, key = f"/v1/files/{file['id']}/links", {"Idempotency-Key": "k"}
    body = {"mode": "view", "password": PASSWORD}
    made = [(await account.client.post(at, json=body, headers=key)).json() for _ in range(2)]
    assert made[0] == made[1]
    assert len((await account.client.get(at)).json()["items"]) == 1
    other = await account.client.post(at, json=body | {"password": "another"}, headers=key)
    assert problem(other) == (422, "idempotency-mismatch")
    async with db.read() as tx:
        kept = (await tx.execute(text("SELECT convert_from(answer, 'UTF8') FROM idempotency_keys"))).scalars().all()
    assert any(made[0]["id"] in answer for answer in kept)
    assert all(made[0]["token"] not in answer for answer in kept)


async def test_create_link_by_others_or_to_the_root_is_refused(account: Account) -> None:
    file = await upload_file(account, b"x", "x.txt")
    root = (await account.client.get("/v1/files/by-path?path=/")).json()["id"]

    async def make(node_id: str, **body: Any) -> tuple[int, str]:
        return problem(await account.client.post(f"/v1/files/{node_id}/links", json=body))

    assert await make(root, mode="download") == (409, "root-folder")
    assert await make(file["id"], mode="upload") == (409, "not-a-folder")
    assert await make(file["id"], mode="upload", max_downloads=1) == (422, "invalid-request")
    assert await make(file["id"], mode="view", password="") == (422, "invalid-request")


@pytest.mark.parametrize("password", [" open sesame", "open sesame ", "open\nsesame", "open\x00sesame"])
async def test_link_password_that_no_header_can_carry_is_refused(account: Account, password: str) -> None:
    folder_id = await make_folder(account, "/a")
    link = await make_link(account, folder_id)
    created = await account.client.post(f"/v1/files/{folder_id}/links", json={"mode": "view", "password": password})
    changed = await account.client.patch(f"/v1/links/{link['id']}", json={"password": password})
    for answer in (created, changed):
        assert problem(answer) == (422, "invalid-request")
        assert answer.json()["errors"][0]["pointer"] == "/password"
        assert "sesame" not in answer.text


def test_token_of_another_link_use_or_secret_is_refused() -> None:
    now = 2_000_000_000.0
    ours = LinkTokens(AuthSettings(), lambda: now)
    other = LinkTokens(AuthSettings.model_validate({"secret": "x" * 32}), lambda: now)
    link_id = uuid.uuid4()
    token = ours.issue_token(link_id)
    assert ours.find_link_id(token) == link_id
    assert other.find_link_id(token) is None
    for at in range(len(token)):  # every bit counts, also those that base64 ignores
        for letter in "AQgw_-z":
            forged = token[:at] + letter + token[at + 1 :]
            assert forged == token or ours.find_link_id(forged) is None
    for wrong in ("", token[:-1], token + "A", token + "=", "é" * 43, token + "\n"):
        assert ours.find_link_id(wrong) is None
    shown = ours.issue_pass(link_id, "hash").text
    assert ours.is_pass(shown, link_id, "hash")
    assert not ours.is_pass(shown, link_id, "another hash")
    assert not ours.is_pass(shown, uuid.uuid4(), "hash")
    assert not other.is_pass(shown, link_id, "hash")
    now += PASS_TTL_S + 1
    assert not ours.is_pass(shown, link_id, "hash")


# Access


async def test_download_link_of_a_file_gives_its_content(account: Account, api: httpx2.AsyncClient) -> None:
    file = await upload_file(account, b"hello", "hello.html", content_type="text/html")
    link = await make_link(account, file["id"])
    shown = await api.get(public(link))
    assert shown.json() == {
        "id": file["id"],
        "name": "hello.html",
        "kind": "file",
        "size_bytes": 5,
        "content_type": "text/html",
        "mode": "download",
        "needs_password": False,
        "max_file_bytes": None,
        "expires_at": None,
    }
    assert (shown.headers["cache-control"], shown.headers["referrer-policy"]) == ("no-store", "no-referrer")
    assert account.email not in shown.text
    for inline in (False, True):
        got = await fetch(api, link, file["id"], params={"inline": inline})
        assert got.content == b"hello"
        assert got.headers["content-disposition"].startswith("attachment")
    assert problem(await api.get(public(link, "/archive"))) == (409, "not-a-folder")
    assert problem(await api.get(public(link, "/files"))) == (409, "not-a-folder")
    assert problem(await send(api, link, "a", b"a")) == (403, "link-not-for")
    told = await activity(account, file["id"])
    assert [(action, detail.get("link")) for action, detail in told[:2]] == [("downloaded", link["id"])] * 2


async def test_folder_link_shows_only_nodes_below_it(account: Account, api: httpx2.AsyncClient) -> None:
    above = await make_folder(account, "/very private")
    top = await make_folder(account, "/very private/holiday")
    below = await make_folder(account, "/very private/holiday/2026")
    cat = await upload_file(account, b"cat", "cat.jpg", destination={"parent_id": below}, content_type="image/jpeg")
    beside = await upload_file(account, b"no", "no.txt", destination={"parent_id": above})
    link = await make_link(account, top)
    listed = await api.get(public(link, "/files"))
    assert [(item["kind"], item["path"]) for item in listed.json()["items"]] == [("folder", "/2026")]
    inner = await api.get(public(link, "/files"), params={"parent_id": below})
    (item,) = inner.json()["items"]
    assert item == {
        "id": cat["id"],
        "kind": "file",
        "name": "cat.jpg",
        "path": "/2026/cat.jpg",
        "thumbnail_url": None,
        "size_bytes": 3,
        "content_type": "image/jpeg",
        "modified_at": cat["modified_at"],
    }
    pages = [await api.get(f"/s/{link['token']}"), await api.get(f"/s/{link['token']}?folder={below}")]
    for answer in (listed, inner, *pages):
        assert answer.status_code == 200
        assert "private" not in answer.text
        assert account.email not in answer.text
    assert (await fetch(api, link, cat["id"])).content == b"cat"
    for node_id in (above, beside["id"]):
        assert problem(await fetch(api, link, node_id)) == GONE
        assert problem(await api.get(public(link, "/files"), params={"parent_id": node_id})) == GONE
        assert problem(await api.get(public(link, "/archive"), params={"parent_id": node_id})) == GONE
    archive = await api.get(public(link, "/archive"))
    with zipfile.ZipFile(io.BytesIO(archive.content)) as zipped:
        assert zipped.namelist() == ["holiday/", "holiday/2026/", "holiday/2026/cat.jpg"]
    await account.client.delete(f"/v1/files/{cat['id']}")
    assert problem(await fetch(api, link, cat["id"])) == GONE
    assert await names_in(api, public(link, "/files"), parent_id=below) == []


async def test_lists_of_links_have_pages(account: Account, api: httpx2.AsyncClient) -> None:
    top = await make_folder(account, "/pages")
    for name in ("c", "a", "B"):
        await upload_file(account, name.encode(), name, destination={"parent_id": top})
    link = await make_link(account, top)
    seen, cursor = [], None
    while True:
        params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await api.get(public(link, "/files"), params=params)).raise_for_status().json()
        seen += [item["name"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == ["a", "B", "c"]
    assert problem(await api.get(public(link, "/files?cursor=bogus"))) == (422, "invalid-cursor")


async def test_view_link_shows_safe_types_and_allows_no_download(account: Account, api: httpx2.AsyncClient) -> None:
    top = await make_folder(account, "/view")
    image = await upload_file(account, b"png", "a.png", destination={"parent_id": top}, content_type="image/png")
    page = await upload_file(account, b"<p>", "a.html", destination={"parent_id": top}, content_type="text/html")
    link = await make_link(account, top, "view")
    got = await fetch(api, link, image["id"])
    assert got.headers["content-disposition"].startswith("inline")
    assert problem(await fetch(api, link, page["id"])) == (403, "link-not-for")
    assert problem(await api.get(public(link, "/archive"))) == (403, "link-not-for")
    (listed,) = (await account.client.get(f"/v1/files/{top}/links")).json()["items"]
    assert listed["downloads"] == 1


# Budget, expiry, password, end


async def test_concurrent_downloads_with_a_budget_of_one_admit_one(account: Account, api: httpx2.AsyncClient) -> None:
    file = await upload_file(account, b"once", "once.txt")
    link = await make_link(account, file["id"], max_downloads=1)
    at = public(link, f"/files/{file['id']}/content")
    answers = await asyncio.gather(*(api.get(at) for _ in range(100)))
    assert sorted(answer.status_code for answer in answers) == [307] + [404] * 99
    assert {problem(answer) for answer in answers if answer.status_code == 404} == {GONE}
    assert problem(await api.get(public(link))) == GONE
    (listed,) = (await account.client.get(f"/v1/files/{file['id']}/links")).json()["items"]
    assert (listed["downloads"], listed["max_downloads"]) == (1, 1)
    await account.client.patch(f"/v1/links/{link['id']}", json={"max_downloads": 2})
    assert (await api.get(at)).status_code == 307


async def test_tokens_that_open_nothing_get_equal_answers(register: Register, api: httpx2.AsyncClient, db: Db) -> None:
    owner, leaver = await register(), await register()
    answers: dict[str, set[str]] = defaultdict(set)

    async def asked(token: str) -> None:
        for path in ("", "/files", "/archive"):
            answer = await api.get(f"/v1/public/links/{token}{path}")
            body = {k: v for k, v in answer.json().items() if k not in {"instance", "request_id"}}
            headers = {k: v for k, v in answer.headers.items() if k not in {"date", "x-request-id", "content-length"}}
            answers[path].add(str((answer.status_code, body, headers)))
        page = await api.get(f"/s/{token}")
        assert (page.status_code, "does not work any more" in page.text) == (404, True)

    await asked("nonsense")
    await asked("A" * 43)
    folder = await make_folder(owner, "/dying")
    kinds = [await make_link(owner, folder) for _ in range(5)]
    revoked, expired, used, locked, trashed = kinds
    await owner.client.delete(f"/v1/links/{revoked['id']}")
    async with db.begin() as tx:
        expire = text("UPDATE links SET expires_at = now() - interval '1 second' WHERE id = :id")
        await tx.execute(expire, {"id": expired["id"]})
    await owner.client.patch(f"/v1/links/{used['id']}", json={"max_downloads": 1})
    assert (await api.get(public(used, "/archive"))).status_code == 200
    await owner.client.patch(f"/v1/links/{locked['id']}", json={"password": PASSWORD})
    locked_answer = await api.get(public(locked))
    assert problem(locked_answer) == (401, "link-password-required")
    for link in (revoked, expired, used):
        await asked(link["token"])
    await owner.client.delete(f"/v1/files/{folder}")
    for link in (locked, trashed):  # with a password too
        await asked(link["token"])
    await owner.client.post(f"/v1/files/{folder}/restore")
    assert (await api.get(public(trashed))).status_code == 200
    orphan = await make_link(leaver, await make_folder(leaver, "/orphan"))
    async with db.begin() as tx:
        await tx.execute(text("UPDATE users SET disabled_at = now() WHERE email = :email"), {"email": leaver.email})
    await asked(orphan["token"])
    assert [len(different) for different in answers.values()] == [1, 1, 1]


async def test_link_to_a_node_below_a_trashed_folder_is_404(account: Account, api: httpx2.AsyncClient) -> None:
    outer = await make_folder(account, "/outer")
    inner = await make_folder(account, "/outer/inner")
    link = await make_link(account, inner)
    await account.client.delete(f"/v1/files/{outer}")
    assert problem(await api.get(public(link))) == GONE
    assert (await account.client.delete(f"/v1/links/{link['id']}")).status_code == 204
    await account.client.post(f"/v1/files/{outer}/restore")
    assert problem(await api.get(public(link))) == GONE


async def test_link_with_a_password_refuses_every_operation_without_it(
    account: Account, api: httpx2.AsyncClient
) -> None:
    top = await make_folder(account, "/secret")
    file = await upload_file(account, b"s", "s.txt", destination={"parent_id": top})
    link = await make_link(account, top, password=PASSWORD)
    right, wrong = {b"X-Link-Password": PASSWORD.encode()}, {b"X-Link-Password": b"Kaese"}
    for path in ("", "/files", "/archive", f"/files/{file['id']}/content"):
        for headers in (None, wrong):
            answer = await api.get(public(link, path), headers=headers)
            assert problem(answer) == (401, "link-password-required")
            assert "secret" not in answer.text
        assert (await api.get(public(link, path), headers=right)).status_code in {200, 307}


async def get_pass(api: httpx2.AsyncClient, link: dict[str, Any], password: str = PASSWORD) -> dict[str, str]:
    """Return the header of a pass for a link."""
    made = (await api.post(public(link, "/pass"), json={"password": password})).raise_for_status()
    assert (made.headers["cache-control"], made.headers["x-robots-tag"]) == ("no-store", "noindex")
    return {"X-Link-Pass": made.json()["link_pass"]}


async def test_link_pass_replaces_the_password_everywhere(account: Account, api: httpx2.AsyncClient) -> None:
    top = await make_folder(account, "/passed")
    file = await upload_file(account, b"s", "s.txt", destination={"parent_id": top})
    link = await make_link(account, top, password=PASSWORD)
    inbox = await make_link(account, top, "upload", password=PASSWORD)
    shown = await get_pass(api, link)
    for path in ("", "/files", "/archive", f"/files/{file['id']}/content", f"/files/{file['id']}/download"):
        assert (await api.get(public(link, path), headers=shown)).status_code in {200, 307}
    sent = await api.post(public(inbox, "/upload"), headers=await get_pass(api, inbox), files={"file": ("t.txt", b"t")})
    assert sent.status_code == 201
    wrong_pass_and_password = {b"X-Link-Pass": b"1.x", b"X-Link-Password": PASSWORD.encode()}
    assert (await api.get(public(link), headers=wrong_pass_and_password)).status_code == 200


async def test_link_pass_is_given_for_the_right_password_or_a_pass(account: Account, api: httpx2.AsyncClient) -> None:
    ends = datetime.now(UTC) + timedelta(minutes=30)
    folder = await make_folder(account, "/guarded")
    link, ending = [await make_link(account, folder, password=PASSWORD, expires_at=at) for at in (None, str(ends))]
    for body in ({}, {"password": "Kaese"}, {"password": None}):
        assert problem(await api.post(public(link, "/pass"), json=body)) == (401, "link-password-required")
    renewed = await api.post(public(link, "/pass"), json={}, headers=await get_pass(api, link))
    assert (await api.get(public(link), headers={"X-Link-Pass": renewed.json()["link_pass"]})).status_code == 200
    hour = datetime.now(UTC) + timedelta(seconds=PASS_TTL_S)
    assert abs(datetime.fromisoformat(renewed.json()["expires_at"]) - hour) < timedelta(minutes=5)
    made = await api.post(public(ending, "/pass"), json={"password": PASSWORD})
    assert datetime.fromisoformat(made.json()["expires_at"]) == ends
    assert problem(await api.post("/v1/public/links/nothing/pass", json={"password": PASSWORD})) == GONE
    open_link = await make_link(account, folder)
    assert (await api.post(public(open_link, "/pass"), json={})).status_code == 200


async def test_link_pass_ends_with_the_password_and_with_the_link(account: Account, api: httpx2.AsyncClient) -> None:
    folder = await make_folder(account, "/changing")
    link, other = [await make_link(account, folder, password=PASSWORD) for _ in range(2)]
    shown = await get_pass(api, link)
    foreign = await api.get(public(other), headers=shown)
    wrong = await api.get(public(other), headers={"X-Link-Password": "Kaese"})
    assert problem(foreign) == problem(wrong) == (401, "link-password-required")
    assert problem(await api.post(public(other, "/pass"), json={}, headers=shown)) == (401, "link-password-required")
    change = f"/v1/links/{link['id']}"
    await account.client.patch(change, json={"password": "another"})
    assert problem(await api.get(public(link), headers=shown)) == (401, "link-password-required")
    await account.client.patch(change, json={"password": PASSWORD})  # the same again is another password
    assert problem(await api.get(public(link), headers=shown)) == (401, "link-password-required")
    shown = await get_pass(api, link)
    await account.client.delete(change)
    assert problem(await api.get(public(link), headers=shown)) == GONE
    assert problem(await api.post(public(link, "/pass"), json={}, headers=shown)) == GONE


# Upload links


async def test_upload_link_receives_files_and_reveals_nothing(account: Account, api: httpx2.AsyncClient) -> None:
    inbox = await make_folder(account, "/inbox")
    await upload_file(account, b"mine", "cv.txt", destination={"parent_id": inbox})
    link = await make_link(account, inbox, "upload")
    used = (await account.me())["used_bytes"]
    for data in (b"mine", b"yours", b"yours too"):
        sent = await send(api, link, "cv.txt", data)
        assert (sent.status_code, sent.json()) == (201, {"name": "cv.txt", "size_bytes": len(data)})
        assert "location" not in sent.headers
    assert await names_in(account.client, "/v1/files", parent_id=inbox) == ["cv (1).txt", "cv (2).txt", "cv.txt"]
    assert (await account.me())["used_bytes"] == used + len(b"yours" + b"yours too")
    assert problem(await api.get(public(link, "/files"))) == (403, "link-not-for")
    assert problem(await api.get(public(link, "/archive"))) == (403, "link-not-for")
    file = (await account.client.get("/v1/files/by-path", params={"path": "/inbox/cv (1).txt"})).json()
    assert problem(await fetch(api, link, file["id"])) == (403, "link-not-for")
    assert ("uploaded-by-link", {"link": link["id"], "name": "cv.txt"}) in await activity(account, file["id"])
    for field in ("parent_id", "folder_path", "on_conflict"):
        answer = await send(api, link, "x.txt", b"x", **{field: "replace"})
        assert problem(answer) == (422, "invalid-request")


async def test_upload_link_reveals_no_quota(account: Account, api: httpx2.AsyncClient, db: Db) -> None:
    link = await make_link(account, await make_folder(account, "/full"), "upload")
    async with db.begin() as tx:
        await tx.execute(text("UPDATE users SET quota_bytes = 10 WHERE email = :email"), {"email": account.email})
    answer = await send(api, link, "big.txt", b"x" * 100)
    assert problem(answer) == (413, "quota-exceeded")
    assert not any(key.endswith("_bytes") for key in answer.json())


async def test_upload_link_revoked_during_an_upload_stores_nothing(account: Account, api: httpx2.AsyncClient) -> None:
    inbox = await make_folder(account, "/closing")
    link = await make_link(account, inbox, "upload")
    boundary = b"----b"

    async def slowly() -> AsyncIterator[bytes]:
        yield b"--" + boundary + b'\r\nContent-Disposition: form-data; name="file"; filename="late.txt"\r\n\r\n'
        yield b"x" * 100
        async with asyncio.timeout(30):
            while not (await account.me())["reserved_bytes"]:
                pass
        (await account.client.delete(f"/v1/links/{link['id']}")).raise_for_status()
        yield b"\r\n--" + boundary + b"--\r\n"

    headers = {"Content-Type": f"multipart/form-data; boundary={boundary.decode()}"}
    assert problem(await api.post(public(link, "/upload"), content=slowly(), headers=headers)) == GONE
    assert await names_in(account.client, "/v1/files", parent_id=inbox) == []
    assert (await account.me())["reserved_bytes"] == 0


async def test_upload_link_accepts_more_than_a_json_body(account: Account, server: RunningServer) -> None:
    link = await make_link(account, await make_folder(account, "/large"), "upload")
    data = b"x" * (server.settings.http.max_body_bytes + 1)
    async with httpx2.AsyncClient(base_url=server.url, timeout=60, verify=NO_TLS) as api:
        for address in (public(link, "/upload"), f"{link['url_path']}/upload"):
            assert (await api.post(address, files={"file": ("large", data)})).status_code in {201, 303}


# Pages


def assert_is_page(page: httpx2.Response) -> None:
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["x-robots-tag"] == "noindex"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert not re.search(r"<script(?! type=\"module\" src=)|<style|style=|\son\w+=", page.text)


def hrefs(page: httpx2.Response) -> list[str]:
    return [
        str(page.url.join(found.replace("&amp;", "&")))
        for found in re.findall(r'(?<!rel="icon" )href="([^"]+)"', page.text)
    ]


async def test_page_of_a_folder_is_browsed_without_script(account: Account, api: httpx2.AsyncClient) -> None:
    top = await make_folder(account, "/<b>&bold")
    inner = await make_folder(account, "/<b>&bold/inner")
    await upload_file(account, b"deep", "<script>.txt", destination={"parent_id": inner}, content_type="text/plain")
    link = await make_link(account, top)
    page = await api.get(link["url_path"])
    assert_is_page(page)
    assert "&lt;b&gt;&amp;bold" in page.text
    style, archive, into = hrefs(page)
    assert (await api.get(style)).headers["content-type"].startswith("text/css")
    assert (await api.get(archive)).headers["content-type"] == "application/zip"
    page = await api.get(into)
    assert_is_page(page)
    style, archive, back, view, download = hrefs(page)
    assert (await api.get(style)).status_code == 200
    with zipfile.ZipFile(io.BytesIO((await api.get(archive)).content)) as zipped:
        assert len(zipped.namelist()) == 2
    assert back.endswith(link["url_path"])
    got = [await api.get(address, follow_redirects=True) for address in (view, download)]
    assert [one.content for one in got] == [b"deep"] * 2
    assert [one.headers["content-disposition"].partition(";")[0] for one in got] == ["inline", "attachment"]


async def test_page_asks_for_the_password_once_per_browser(account: Account, api: httpx2.AsyncClient) -> None:
    file = await upload_file(account, b"hidden", "hidden.txt")
    link = await make_link(account, file["id"], password=PASSWORD)
    other = await make_link(account, file["id"], password=PASSWORD)
    page = await api.get(link["url_path"])
    assert_is_page(page)
    assert (page.status_code, "hidden.txt" in page.text) == (401, False)
    wrong = await api.post(f"{link['url_path']}/password", data={"password": "no"})
    assert (wrong.status_code, "not the password" in wrong.text) == (401, True)
    assert_is_page(wrong)
    assert (await api.get(hrefs(wrong)[0])).status_code == 200
    right = await api.post(f"{link['url_path']}/password", data={"password": PASSWORD})
    assert right.status_code == 303
    cookie = right.headers["set-cookie"]
    assert all(part in cookie for part in ("HttpOnly", "SameSite=strict", f"Path={link['url_path']}", "Max-Age=3600"))
    page = await api.get(str(right.url.join(right.headers["location"])))
    assert "hidden.txt" in page.text
    assert (await api.get(hrefs(page)[1], follow_redirects=True)).content == b"hidden"
    value = cookie.partition("=")[2].partition(";")[0]
    elsewhere = await api.get(other["url_path"], headers={"Cookie": f"link-pass={value}"})
    assert elsewhere.status_code == 401
    await account.client.patch(f"/v1/links/{link['id']}", json={"password": "another one"})
    assert (await api.get(link["url_path"])).status_code == 401


async def test_page_sends_a_file_by_a_form(account: Account, api: httpx2.AsyncClient) -> None:
    inbox = await make_folder(account, "/letters")
    link = await make_link(account, inbox, "upload")
    page = await api.get(link["url_path"])
    assert_is_page(page)
    (action,) = re.findall(r'action="([^"]+)"', page.text)
    assert "Up to 100 MiB at a time" in page.text
    address = str(page.url.join(action))
    answer = await api.post(address, files={"file": ("<i>.txt", b"dear", "text/plain")})
    assert answer.status_code == 303
    for _ in range(2):  # the second time is a reload, which sends nothing
        page = await api.get(str(answer.url.join(answer.headers["location"])))
        assert_is_page(page)
        assert "One file has arrived" in page.text
    assert await names_in(account.client, "/v1/files", parent_id=inbox) == ["<i>.txt"]
    refused = await api.post(address, files={"file": ("a/..", b"x")})
    assert refused.status_code == 422
    assert_is_page(refused)


async def test_page_sends_several_files_at_once(account: Account, api: httpx2.AsyncClient) -> None:
    inbox = await make_folder(account, "/several")
    link = await make_link(account, inbox, "upload")
    contents = {"a.txt": b"a", "b.bin": bytes(300_000), "c": b"", "\u202egpj.exe": b"x"}
    files = [("file", (name, data)) for name, data in contents.items()]
    answer = await api.post(f"{link['url_path']}/upload", files=files, follow_redirects=True)
    assert "4 files have arrived" in answer.text
    listed = (await account.client.get("/v1/files", params={"parent_id": inbox})).json()["items"]
    assert {file["name"]: file["fingerprint"] for file in listed} == {
        name: sha256(data) for name, data in contents.items()
    }
    assert (await account.me())["reserved_bytes"] == 0


async def test_page_names_the_files_that_arrived_before_a_refused_one(
    account: Account, api: httpx2.AsyncClient
) -> None:
    inbox = await make_folder(account, "/partly")
    link = await make_link(account, inbox, "upload")
    files = [("file", (name, name.encode())) for name in ("one", "two", "a/..", "never read")]
    page = await api.post(f"{link['url_path']}/upload", files=files)
    assert page.status_code == 422
    assert_is_page(page)
    assert "These files have arrived: <bdi>one</bdi>, <bdi>two</bdi>." in page.text
    assert await names_in(account.client, "/v1/files", parent_id=inbox) == ["one", "two"]
    assert (await account.me())["reserved_bytes"] == 0


@pytest.mark.parametrize("path", ["/password", "/upload"])
async def test_address_of_a_form_opened_by_hand_leads_to_the_link(api: httpx2.AsyncClient, path: str) -> None:
    answer = await api.get(f"/s/some-token{path}")
    assert (answer.status_code, str(answer.url.join(answer.headers["location"]))) == (
        303,
        str(api.base_url.join("/s/some-token")),
    )


async def test_names_on_pages_cannot_change_the_text_around_them(account: Account, api: httpx2.AsyncClient) -> None:
    name = "ann\u202egpj.exe"
    top = await make_folder(account, f"/{name}")
    file = await upload_file(account, b"x", name, destination={"parent_id": top}, content_type="text/plain")
    inner = await make_folder(account, f"/{name}/x{name}/{name}")
    folder, single, inbox = [
        await make_link(account, node_id, mode)
        for node_id, mode in ((top, "download"), (file["id"], "download"), (top, "upload"))
    ]
    for address in (folder["url_path"], f"{folder['url_path']}?folder={inner}", single["url_path"], inbox["url_path"]):
        page = await api.get(address)
        assert page.status_code == 200
        assert "\u202e" not in page.text
        for shown in re.findall(r"(.{5})x?ann\N{REPLACEMENT CHARACTER}gpj", page.text):
            assert shown in {"<bdi>", "bdi>x", "itle>", "les: "}, shown


async def test_problems_are_rendered_as_pages(account: Account, api: httpx2.AsyncClient) -> None:
    file = await upload_file(account, b"<p>", "a.html", content_type="text/html")
    link = await make_link(account, file["id"], "view")
    for path in ("/archive", f"/files/{file['id']}/content"):
        page = await api.get(link["url_path"] + path)
        assert page.status_code == 403
        assert_is_page(page)
    for path in ("?folder=nonsense", "/files/nonsense/content", "/password"):
        page = await api.request("POST" if path == "/password" else "GET", link["url_path"] + path)
        assert page.status_code == 404
        assert_is_page(page)
        assert "does not work" in page.text


async def test_page_of_a_refused_token_links_to_no_other_host(postgres_url: str, s3_config: S3Config) -> None:
    """The page of a refused request contains the token before the server has checked it."""
    limits = NO_LIMITS | {"public": "1/minute"}
    settings = make_settings(postgres_url, s3_config, limits=limits)
    async with running_server(settings) as strict, httpx2.AsyncClient(base_url=strict.url, timeout=60) as api:
        await api.get("/s/first")
        for token in ("javascript:alert(1)", "%5C%5Celsewhere.example"):
            page = await api.get(f"/s/{token}")
            assert page.status_code == 429
            assert all(href.startswith(f"{strict.url}/s/") for href in hrefs(page))
