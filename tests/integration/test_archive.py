"""A folder as a zip: what is in it, what is not, and what happens when the tree, the store or the client goes away."""

import asyncio
import io
import random
import shutil
import subprocess
import uuid
import zipfile
import zlib
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import text

from dropbox_api.context import Actor, Context, Scope
from dropbox_api.files import archive
from dropbox_api.plumbing.transfer_slots import TransferSlots
from dropbox_api.settings import MIB
from dropbox_api.storage.s3 import S3Config, S3Store
from tests.conftest import Register
from tests.support.server import (
    Account,
    RunningServer,
    create_folder,
    make_settings,
    migrated_database,
    problem,
    register_account,
    running_server,
    start_body,
    upload_file,
)
from tests.support.zip_stream import read_stream

LARGE = random.Random(9).randbytes(3 * MIB + 17)


async def put_file(account: Account, path: str, data: bytes = b"", **more: Any) -> dict[str, Any]:
    folder, _, name = path.rpartition("/")
    return await upload_file(account, data, name, destination={"folder_path": folder or "/"}, **more)


async def find(account: Account, path: str) -> dict[str, Any]:
    file: dict[str, Any] = (
        (await account.client.get("/v1/files/by-path", params={"path": path})).raise_for_status().json()
    )
    return file


async def account_id(account: Account) -> uuid.UUID:
    return uuid.UUID((await account.me())["id"])


async def fetch(account: Account, folder_id: str) -> zipfile.ZipFile:
    answer = (await account.client.get(f"/v1/files/{folder_id}/archive")).raise_for_status()
    return zipfile.ZipFile(io.BytesIO(answer.content))


async def mark(server: RunningServer, file: dict[str, Any], status: str) -> None:
    """Set the status of the content of a file to one that correct stores and clients never cause."""
    async with server.db.begin() as tx:
        of = "SELECT blob_id FROM revisions WHERE id = :id"
        statement = text(f"UPDATE blobs SET content_status = :status WHERE id = ({of})")
        await tx.execute(statement, {"status": status, "id": file["revision_id"]})


def held(read: zipfile.ZipFile) -> dict[str, bytes]:
    assert read.testzip() is None
    assert len(set(read.namelist())) == len(read.namelist())
    return {name: read.read(name) for name in read.namelist()}


# Content


async def test_archive_of_a_folder_holds_all_its_descendants(account: Account, tmp_path: Path) -> None:
    top = await create_folder(account, "/photos")
    await put_file(account, "/photos/large.bin", LARGE, client_modified_at="2020-02-03T04:05:06+02:00")
    await put_file(account, "/photos/b/c/deep.txt", b"deep")
    await put_file(account, "/photos/B.txt", b"between")
    await put_file(account, "/photos/nothing", b"")
    await create_folder(account, "/photos/a/empty")
    await put_file(account, "/elsewhere.txt", b"not asked for")
    answer = await account.client.get(f"/v1/files/{top['id']}/archive")
    assert answer.status_code == 200
    headers = {name: answer.headers[name] for name in ("content-type", "cache-control", "x-content-type-options")}
    assert headers == {
        "content-type": "application/zip",
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
    }
    assert answer.headers["content-disposition"].startswith('attachment; filename="photos.zip"')
    assert "content-encoding" not in answer.headers
    read = zipfile.ZipFile(io.BytesIO(answer.content))
    expected = {
        "photos/": b"",
        "photos/a/": b"",
        "photos/a/empty/": b"",
        "photos/b/": b"",
        "photos/b/c/": b"",
        "photos/b/c/deep.txt": b"deep",
        "photos/B.txt": b"between",
        "photos/large.bin": LARGE,
        "photos/nothing": b"",
    }
    assert list(held(read).items()) == list(expected.items())
    assert read.getinfo("photos/large.bin").date_time == (2020, 2, 3, 2, 5, 6)

    (tmp_path / "it.zip").write_bytes(answer.content)
    for command in (["unzip", "-tqq", "it.zip"], ["7z", "t", "it.zip"], ["bsdtar", "-xf", "it.zip"]):
        if shutil.which(command[0]):
            done = await asyncio.to_thread(subprocess.run, command, cwd=tmp_path, capture_output=True, check=False)
            assert (command, done.returncode, done.stderr) == (command, 0, b"")
    streamed = [(entry.name, entry.size_bytes, entry.crc) for entry in read_stream(io.BytesIO(answer.content))]
    assert streamed == [(name, len(content), zlib.crc32(content)) for name, content in expected.items()]
    for program in (["bsdtar", "-xf", "-"], ["jar", "x"]):
        if shutil.which(program[0]):
            piped = tmp_path / program[0]
            piped.mkdir()
            await asyncio.to_thread(subprocess.run, program, cwd=piped, input=answer.content, check=True)
            for name, content in expected.items():
                assert name.endswith("/") or (piped / name).read_bytes() == content


async def test_archive_of_the_root_has_no_top_folder(account: Account) -> None:
    root = await find(account, "/")
    empty = await account.client.get(f"/v1/files/{root['id']}/archive")
    assert empty.headers["content-disposition"].startswith('attachment; filename="files.zip"')
    assert zipfile.ZipFile(io.BytesIO(empty.content)).namelist() == []
    await put_file(account, "/a/b.txt", b"b")
    assert held(await fetch(account, root["id"])) == {"a/": b"", "a/b.txt": b"b"}


async def test_archive_of_many_files_holds_all_pages(account: Account) -> None:
    names = [f"{n:04}" for n in range(2 * archive._PAGE + 1)]
    first, *others = [start_body(b"", name, destination={"folder_path": "/many"}) for name in names]
    await upload_file(account, b"", first["destination"]["name"], destination={"folder_path": "/many"})
    for at in range(0, len(others), 100):
        started = await account.client.post("/v1/uploads/batch", json={"items": others[at : at + 100]})
        assert all(item["file"] for item in started.raise_for_status().json()["items"])
    read = await fetch(account, (await find(account, "/many"))["id"])
    assert read.namelist() == ["many/", *(f"many/{name}" for name in names)]


UNPACKED = {
    "👩\u200d👧 family": "👩\u200d👧 family",
    "Cafe\u0301": "Café",
    "שלום.txt": "שלום.txt",
    ".hidden": ".hidden",
    "a_b.txt": "a_b.txt",
    "A_B (1).txt": "A_B (1).txt",
    "con_": "con_",
    "dot_": "dot_",
    "..\\evil": ".._evil",
    "\u202egpj.exe": "_gpj.exe",
    "a:b.txt": "a_b (3).txt",
    "a?b.txt": "a_b (4).txt",
    "CON": "CON_ (1)",
    "dot.": "dot_ (1)",
}
"""Name as typed -> name in the archive; a valid name is kept."""


async def test_archive_names_are_safe_on_every_system_and_distinct(account: Account) -> None:
    top = await create_folder(account, "/C: of \\")
    for name in UNPACKED:
        await upload_file(account, name.encode(), name, destination={"parent_id": top["id"]})
    folder = await account.client.post("/v1/folders", json={"parent_id": top["id"], "name": "a*b.txt"})
    inside = {"parent_id": folder.raise_for_status().json()["id"]}
    await upload_file(account, b"inside", "x|y", destination=inside)
    expected = {f"C_ of _/{unpacked}": typed.encode() for typed, unpacked in UNPACKED.items()}
    below = {"C_ of _/": b"", "C_ of _/a_b (2).txt/": b"", "C_ of _/a_b (2).txt/x_y": b"inside"}
    assert held(await fetch(account, top["id"])) == expected | below


@pytest.mark.parametrize("status", ["quarantined", "damaged"])
async def test_archive_with_untrusted_content_names_it_instead(
    account: Account, server: RunningServer, status: str
) -> None:
    top = await create_folder(account, "/top")
    await put_file(account, "/top/good", b"good")
    await put_file(account, "/top/not-included.TXT", b"a file of that name")
    await mark(server, await put_file(account, "/top/in/b:d", b"bad"), status)
    unpacked = held(await fetch(account, top["id"]))
    assert list(unpacked) == [
        "top/",
        "top/good",
        "top/in/",
        "top/not-included.TXT",
        "top/NOT-INCLUDED (1).txt",
    ]
    assert unpacked["top/NOT-INCLUDED (1).txt"].decode() == f"top/in/b_d: {archive.LEFT_OUT[status]}\n"


# Access


async def test_archive_of_a_file_or_an_invisible_folder_is_refused(register: Register, account: Account) -> None:
    stranger = await register()
    file = await put_file(account, "/a/file", b"x")
    folder = f"/v1/files/{file['parent_id']}/archive"
    assert problem(await account.client.get(f"/v1/files/{file['id']}/archive")) == (409, "not-a-folder")
    assert problem(await stranger.client.get(folder)) == (404, "not-found")
    assert problem(await stranger.client.get(folder, headers={"Authorization": ""})) == (401, "unauthenticated")
    assert (await account.client.delete(f"/v1/files/{file['parent_id']}")).is_success
    assert problem(await account.client.get(folder)) == (404, "not-found")


# Changes during the download


async def _make_context(server: RunningServer, store: S3Store, user_id: uuid.UUID) -> Context:
    scopes = frozenset[Scope]({"files:read"})
    async with server.db.read() as tx:
        newest = text("SELECT id FROM sessions WHERE user_id = :user_id ORDER BY id DESC LIMIT 1")
        session_id = (await tx.execute(newest, {"user_id": user_id})).scalar_one()
    actor = Actor(user_id, "ada@example.org", "person", is_admin=False, scopes=scopes, session_id=session_id)
    return Context(server.db, store, server.settings, actor)


async def test_archive_of_a_changing_tree_holds_each_file_once(account: Account, server: RunningServer) -> None:
    """The server makes the archive no faster than the client reads it, so the changes come before the rest."""
    top = await create_folder(account, "/top")
    await put_file(account, "/top/a.bin", LARGE)
    for path in ("b/moved.txt", "c.txt", "d/below.txt", "e/renamed.txt", "f/replaced.txt"):
        await put_file(account, f"/top/{path}", path.encode())
    made = await archive.open_archive(
        await _make_context(server, server.store, await account_id(account)), uuid.UUID(top["id"]), TransferSlots(4)
    )
    async with aclosing(made.body):
        pieces = [await anext(made.body)]
        assert len(pieces[0]) < len(LARGE)
        client = account.client
        moved = {"parent_id": top["id"], "name": "after.txt"}
        await client.patch(f"/v1/files/{(await find(account, '/top/b/moved.txt'))['id']}", json=moved)
        (await client.delete(f"/v1/files/{(await find(account, '/top/c.txt'))['id']}")).raise_for_status()
        (await client.delete(f"/v1/files/{(await find(account, '/top/d'))['id']}")).raise_for_status()
        renamed = {"name": "NEW.txt"}
        await client.patch(f"/v1/files/{(await find(account, '/top/e/renamed.txt'))['id']}", json=renamed)
        newer = {"destination": {"folder_path": "/top/f", "on_conflict": "replace"}}
        await upload_file(account, b"newer", "replaced.txt", **newer)
        await put_file(account, "/top/f/added.txt", b"added")
        (await client.delete(f"/v1/files/{top['id']}")).raise_for_status()
        pieces += [piece async for piece in made.body]
    assert held(zipfile.ZipFile(io.BytesIO(b"".join(pieces)))) == {
        "top/": b"",
        "top/a.bin": LARGE,
        "top/b/": b"",
        "top/c.txt": b"c.txt",
        "top/d/": b"",
        "top/d/below.txt": b"d/below.txt",
        "top/e/": b"",
        "top/e/NEW.txt": b"e/renamed.txt",
        "top/f/": b"",
        "top/f/added.txt": b"added",
        "top/f/replaced.txt": b"newer",
    }


async def test_archive_with_a_lost_object_breaks_off(account: Account, server: RunningServer) -> None:
    top = await create_folder(account, "/top")
    await put_file(account, "/top/a", LARGE)
    lost = await put_file(account, "/top/b", b"lost")
    await put_file(account, "/top/c", b"behind it")
    async with server.db.read() as tx:
        of = text("SELECT storage_key FROM blobs WHERE id = (SELECT blob_id FROM revisions WHERE id = :id)")
        key = (await tx.execute(of, {"id": lost["revision_id"]})).scalar_one()
    await server.store.delete(key)
    got = bytearray()

    async def read() -> None:
        async with account.client.stream("GET", f"/v1/files/{top['id']}/archive") as answer:
            assert answer.status_code == 200
            async for block in answer.aiter_bytes():
                got.extend(block)

    with pytest.raises(httpx2.RemoteProtocolError):
        await read()
    with pytest.raises(zipfile.BadZipFile):
        zipfile.ZipFile(io.BytesIO(got))
    await server.store.put(key, b"lost")  # the invariants need the object


async def test_archive_of_a_leaving_client_releases_the_store_connection(
    postgres_url: str, s3_config: S3Config
) -> None:
    """The store has one connection: an archive that kept it would block all others."""
    async with migrated_database(postgres_url) as url:
        settings = make_settings(url, s3_config)
        only_one = settings.model_copy(update={"s3": settings.s3.model_copy(update={"max_connections": 1})})
        async with running_server(only_one) as server:
            account = await register_account(server.url)
            async with account.client:
                await put_file(account, "/top/small", b"small")
                await put_file(account, "/top/z", bytes(24 * MIB))
                address = f"/v1/files/{(await find(account, '/top'))['id']}/archive"
                for _ in range(2):
                    async with account.client.stream("GET", address) as answer:
                        assert await anext(answer.aiter_bytes())
                whole = (await account.client.get(address)).raise_for_status()
                assert len(held(zipfile.ZipFile(io.BytesIO(whole.content)))["top/z"]) == 24 * MIB


async def test_closed_archive_releases_the_store_connection(
    account: Account, server: RunningServer, s3_config: S3Config
) -> None:
    """After reading nothing, a part of a file, or everything."""
    top = await create_folder(account, "/top")
    await put_file(account, "/top/a", LARGE)
    whole = len((await account.client.get(f"/v1/files/{top['id']}/archive")).content)
    async with S3Store.open(replace(s3_config, max_connections=1)) as store:
        for wanted_bytes in (0, 1, whole):
            context = await _make_context(server, store, await account_id(account))
            made = await archive.open_archive(context, uuid.UUID(top["id"]), TransferSlots(4))
            got = 0
            while got < wanted_bytes:
                got += len(await anext(made.body))
            await made.body.aclose()
            assert [piece async for piece in made.body] == []


async def test_archive_is_in_the_activity_of_the_folder(account: Account) -> None:
    top = await create_folder(account, "/top")
    await fetch(account, top["id"])
    newest, *_ = (await account.client.get(f"/v1/files/{top['id']}/activity")).json()["items"]
    assert (newest["action"], newest["actor"], newest["detail"]) == ("archived", account.email, {})
