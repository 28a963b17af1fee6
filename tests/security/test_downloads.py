"""Downloads: the audit trail, and that no name, type or archive is dangerous for the client."""

import asyncio
import io
import stat
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

import httpx2
import pytest
from sqlalchemy import text

from dropbox_api.db import Db, first_id_at
from tests.conftest import Register
from tests.support.server import NO_TLS, Account, upload_file
from tests.support.sharing import grant, make_link, public, verify

EVIL_NAMES = [
    "..\\..\\evil.exe",
    "\\\\server\\share",
    "C:\\autoexec.bat",
    "a:stream",
    "CON",
    "nul.txt",
    "...",
    "x.exe. .",
    "\u202egpj.exe",
    "~",
    "-rf",
    "$(id)",
    'a";filename="b.html',
    "<script>alert(1)",
    "é🎉.txt",
]
SHOW = {"inline": True}
RUNS_SCRIPT = ["text/html", "image/svg+xml", "application/xhtml+xml", "text/xml"]
CODE = ["application/javascript", "text/javascript", "text/css", "application/json", "text/markdown", "text/x-python"]


async def activity(account: Account, file_id: str) -> list[tuple[str, dict[str, Any]]]:
    """Return action and detail of the activity of a file, oldest first."""
    items = (await account.client.get(f"/v1/files/{file_id}/activity")).raise_for_status().json()["items"]
    return [(item["action"], item["detail"]) for item in reversed(items)]


async def follow(account: Account, address: str, **params: str) -> httpx2.Response:
    redirect = await account.client.get(address, params=params)
    return await fetch(redirect.headers["location"])


async def fetch(url: str) -> httpx2.Response:
    async with httpx2.AsyncClient(verify=NO_TLS, timeout=60) as client:
        return (await client.get(url)).raise_for_status()


# The audit trail


async def test_every_issued_url_is_in_the_audit_log(account: Account, register: Register) -> None:
    first = await upload_file(account, b"one", "a")
    second = await upload_file(account, b"two", "a", destination={"on_conflict": "replace"})
    assert second["id"] == first["id"]
    address = f"/v1/files/{first['id']}"
    client, stranger = account.client, await register()
    before = await activity(account, first["id"])
    headers = {"User-Agent": "a browser", "X-Request-Id": "asked-for-it"}
    assert (await client.get(f"{address}/content", headers=headers)).status_code == 307
    newest = (await client.get(f"{address}/activity")).json()["items"][0]
    entry = [newest[name] for name in ("action", "actor", "address", "user_agent", "request_id")]
    assert entry == ["downloaded", account.email, "127.0.0.1", "a browser", "asked-for-it"]
    assert (await client.get(f"{address}/content", params={"revision": first["revision_id"]})).status_code == 307
    assert (await client.get(f"{address}/download")).status_code == 200
    # These requests issue no URL, or none that reads content.
    await client.head(f"{address}/content")
    await client.get(f"{address}/content", params={"revision": str(first["id"])})
    await stranger.client.get(f"{address}/content")
    await client.get(address)
    assert (await activity(account, first["id"]))[len(before) :] == [
        ("downloaded", {"revision_id": second["revision_id"]}),
        ("downloaded", {"revision_id": first["revision_id"]}),
        ("downloaded", {"revision_id": second["revision_id"]}),
    ]


async def test_views_are_in_the_audit_log_once_an_hour_for_each_actor(
    account: Account, register: Register, db: Db, api: httpx2.AsyncClient
) -> None:
    reader = await register()
    await verify(db, reader)
    file = await upload_file(account, b"text", "a.txt")
    page = await upload_file(account, b"<p>", "a.html")
    await grant(account, file["id"], reader, "viewer")
    viewing, other = [await make_link(account, file["id"], "view") for _ in range(2)]
    before = len(await activity(account, file["id"]))
    for _ in range(2):
        address = f"/v1/files/{file['id']}"
        await asyncio.gather(*(account.client.get(f"{address}/download", params=SHOW) for _ in range(4)))
        await account.client.get(f"{address}/content", params=SHOW)
        await account.client.head(f"{address}/content", params=SHOW)
        await reader.client.get(f"{address}/download", params=SHOW)
        for link in (viewing, viewing, other):
            await api.get(public(link, f"/files/{file['id']}/content"))
    seen = (await account.client.get(f"/v1/files/{file['id']}/activity")).json()["items"]
    actors = [(entry["action"], entry["actor"], entry["detail"].get("link")) for entry in reversed(seen)]
    assert actors[before:] == [
        ("viewed", account.email, None),
        ("viewed", reader.email, None),
        ("viewed", None, viewing["id"]),
        ("viewed", None, other["id"]),
    ]
    async with db.begin() as tx:
        older = text(
            "UPDATE audit_log SET id = :id WHERE action = 'viewed' AND node_id = :node_id AND actor_id = :actor"
        )
        me = (await account.me())["id"]
        hour_ago = first_id_at(datetime.now(UTC) - timedelta(minutes=61))
        await tx.execute(older, {"id": hour_ago, "node_id": file["id"], "actor": me})
    await account.client.get(f"/v1/files/{file['id']}/download", params=SHOW)
    assert [action for action, _ in await activity(account, file["id"])].count("viewed") == 5
    await account.client.get(f"/v1/files/{page['id']}/download", params=SHOW)  # saved, because it can run script
    assert (await activity(account, page["id"]))[-1][0] == "downloaded"
    links = (await account.client.get(f"/v1/files/{file['id']}/links")).json()["items"]
    assert sorted(link["downloads"] for link in links) == [2, 4], "every URL counts for the budget"


# Browsers


@pytest.mark.parametrize("content_type", RUNS_SCRIPT)
async def test_inline_download_of_a_scriptable_type_is_an_attachment(account: Account, content_type: str) -> None:
    file = await upload_file(account, b"<script>alert(1)</script>", "x", content_type=content_type)
    shown = await follow(account, f"/v1/files/{file['id']}/content", inline="true")
    assert shown.headers["content-disposition"].startswith("attachment; ")
    asked = await account.client.get(f"/v1/files/{file['id']}/download", params={"inline": True})
    assert (await fetch(asked.json()["url"])).headers["content-disposition"].startswith("attachment; ")


@pytest.mark.parametrize("content_type", CODE)
async def test_code_is_shown_as_text_that_no_page_can_apply(account: Account, content_type: str) -> None:
    file = await upload_file(account, b"alert(1)", "x", content_type=content_type)
    shown = await follow(account, f"/v1/files/{file['id']}/content", inline="true")
    assert shown.headers["content-type"] == "text/plain; charset=utf-8"
    assert shown.headers["content-disposition"].startswith("inline; ")
    saved = await follow(account, f"/v1/files/{file['id']}/content")
    assert saved.headers["content-type"] == content_type


async def test_signed_url_of_any_revision_is_shown_inline_where_asked_for(account: Account) -> None:
    first = await upload_file(account, b"one", "a.md")
    await upload_file(account, b"two", "a.md", destination={"on_conflict": "replace"})
    address = f"/v1/files/{first['id']}/download"
    for asked, data in (({}, b"two"), ({"revision": first["revision_id"]}, b"one")):
        for inline, disposition in ((True, "inline"), (False, "attachment")):
            answer = (await account.client.get(address, params=asked | {"inline": inline})).raise_for_status()
            got = await fetch(answer.json()["url"])
            assert (got.content, got.headers["content-disposition"].partition(";")[0]) == (data, disposition)


@pytest.mark.parametrize("name", EVIL_NAMES)
async def test_hostile_name_adds_no_header_to_a_download(account: Account, name: str) -> None:
    file = await upload_file(account, b"x", name)
    redirect = await account.client.get(f"/v1/files/{file['id']}/content")
    assert (redirect.headers["cache-control"], redirect.headers["referrer-policy"]) == ("no-store", "no-referrer")
    got = await follow(account, f"/v1/files/{file['id']}/content")
    kind, plain, extended = got.headers["content-disposition"].split("; ")
    assert kind == "attachment"
    assert plain.startswith('filename="')
    assert plain.count('"') == 2
    assert extended.startswith("filename*=UTF-8''")
    assert extended.isascii()


# Archives


async def test_archive_with_hostile_names_stays_in_its_folder_on_every_system(account: Account) -> None:
    top = (await account.client.post("/v1/folders", json={"path": "/..\\up"})).raise_for_status().json()
    folders: list[str] = [top["id"]]
    for name in EVIL_NAMES:
        body = {"parent_id": top["id"], "name": f"{name} folder"}
        folders.append((await account.client.post("/v1/folders", json=body)).raise_for_status().json()["id"])
    for parent_id in (folders[0], folders[-1]):
        for name in EVIL_NAMES:
            await upload_file(account, b"x", name, destination={"parent_id": parent_id})
    answer = await account.client.get(f"/v1/files/{top['id']}/archive")
    assert answer.headers["content-disposition"].startswith('attachment; filename=".._up.zip"')
    entries = zipfile.ZipFile(io.BytesIO(answer.content)).infolist()
    assert len(entries) == 1 + 3 * len(EVIL_NAMES)
    for entry in entries:
        for path in (PurePosixPath(entry.filename), PureWindowsPath(entry.filename)):
            assert not path.is_absolute()
            assert not path.drive
            assert ".." not in path.parts
        assert PureWindowsPath(entry.filename).parts == PurePosixPath(entry.filename).parts
        assert PureWindowsPath(entry.filename).parts[0] == ".._up"
        assert not PureWindowsPath(entry.filename).is_reserved()
        assert stat.S_IFMT(entry.external_attr >> 16) == (stat.S_IFDIR if entry.is_dir() else stat.S_IFREG)
    assert len({entry.filename.casefold() for entry in entries}) == len(entries)
