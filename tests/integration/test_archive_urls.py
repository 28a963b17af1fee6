"""Archives by a URL: what is in them, and when the URL stops working."""

import io
import uuid
import zipfile
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from sqlalchemy import text

from dropbox_api import access
from dropbox_api.db import Db
from dropbox_api.files import archive_urls
from dropbox_api.plumbing.transfer_slots import TransferSlots
from dropbox_api.settings import MIB
from dropbox_api.sharing import public
from dropbox_api.sharing.bearers import LinkContext
from dropbox_api.workers.retain import apply_retention
from tests.conftest import Register
from tests.support.server import Account, RunningServer, create_folder, problem, upload_file
from tests.support.sharing import grant, make_folder, make_link, verify

GONE = (404, "not-found")
LARGE = bytes(2 * MIB)


async def put(account: Account, parent_id: str, name: str, data: bytes = b"x") -> str:
    return str((await upload_file(account, data, name, destination={"parent_id": parent_id}))["id"])


async def make_url(client: httpx2.AsyncClient, **wanted: Any) -> str:
    """Return the path of the URL of an archive."""
    made = (await client.post("/v1/archives", json=wanted)).raise_for_status()
    assert made.headers["cache-control"] == "no-store"
    return urlsplit(str(made.json()["url"])).path


def read(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


async def fetch(api: httpx2.AsyncClient, path: str) -> dict[str, bytes]:
    return read((await api.get(path)).raise_for_status().content)


async def collect(pieces: AsyncIterator[bytes], first: bytes) -> dict[str, bytes]:
    return read(first + b"".join([piece async for piece in pieces]))


# Content


async def test_archive_of_a_list_holds_files_and_folders_side_by_side(
    account: Account, api: httpx2.AsyncClient
) -> None:
    one, two = await make_folder(account, "/one"), await make_folder(account, "/two/photos")
    ids = [await put(account, one, "a.txt", b"1"), await put(account, two, "A.TXT", b"2"), two]
    ids += [await put(account, one, "a (1).txt", b"3"), await put(account, one, "CON"), ids[0]]
    path = await make_url(account.client, ids=ids)
    answer = await api.get(path)
    headers = {name: answer.headers[name] for name in ("content-type", "cache-control", "referrer-policy")}
    assert headers == {"content-type": "application/zip", "cache-control": "no-store", "referrer-policy": "no-referrer"}
    assert answer.headers["content-disposition"].startswith('attachment; filename="files.zip"')
    assert read(answer.content) == {
        "a.txt": b"1",
        "A (2).TXT": b"2",
        "photos/": b"",
        "photos/A.TXT": b"2",
        "a (1).txt": b"3",
        "CON_": b"x",
    }


@pytest.mark.parametrize("member", ["folder_id", "ids"])
async def test_archive_of_one_folder_equals_that_with_a_token(
    account: Account, api: httpx2.AsyncClient, member: str
) -> None:
    top = await make_folder(account, "/photos")
    await put(account, top, "cat.jpg", b"cat")
    path = await make_url(account.client, **{member: top if member == "folder_id" else [top]})
    answer = await api.get(path)
    assert answer.headers["content-disposition"].startswith('attachment; filename="photos.zip"')
    assert read(answer.content) == {"photos/": b"", "photos/cat.jpg": b"cat"}
    assert answer.content == (await account.client.get(f"/v1/files/{top}/archive")).content


async def test_archive_url_needs_access_to_every_node(
    account: Account, register: Register, api: httpx2.AsyncClient
) -> None:
    stranger = await register()
    mine, foreign = await make_folder(account, "/mine"), await make_folder(stranger, "/foreign")
    file = await put(account, mine, "a")
    answers = [
        await account.client.post("/v1/archives", json={"ids": [mine, id_]}) for id_ in (foreign, uuid.uuid4().hex)
    ]
    assert [problem(answer) for answer in answers] == [GONE] * 2
    assert answers[0].json()["detail"] == answers[1].json()["detail"]
    assert problem(await account.client.post("/v1/archives", json={"folder_id": file})) == (409, "not-a-folder")
    refused: list[dict[str, Any]] = [{}, {"ids": []}, {"ids": [mine], "folder_id": mine}, {"ids": [mine] * 1001}]
    for wrong in refused:
        assert problem(await account.client.post("/v1/archives", json=wrong)) == (422, "invalid-request")
    for path in ("nothing", "A" * 43, "%ff"):
        assert problem(await api.get(f"/v1/archives/{path}")) == GONE


async def test_archive_url_is_in_the_activity_of_each_node(account: Account, api: httpx2.AsyncClient) -> None:
    ids = [await make_folder(account, "/one"), await put(account, await make_folder(account, "/two"), "a")]
    path = await make_url(account.client, ids=ids)
    for _ in range(2):
        await fetch(api, path)
    for node_id in ids:
        listed = (await account.client.get(f"/v1/files/{node_id}/activity")).json()["items"]
        told = [(entry["action"], entry["actor"]) for entry in listed if entry["action"] == "archived"]
        assert told == [("archived", account.email)]


# The life of the URL


async def test_archive_url_works_many_times_until_it_expires(
    account: Account, api: httpx2.AsyncClient, db: Db, server: RunningServer
) -> None:
    top = await make_folder(account, "/top")
    path = await make_url(account.client, folder_id=top)
    for _ in range(3):
        assert await fetch(api, path) == {"top/": b""}
        head = await api.head(path)
        assert (head.status_code, head.content, head.headers["content-type"]) == (200, b"", "application/zip")
    async with db.begin() as tx:
        token = path.rpartition("/")[2]
        stored = (await tx.execute(text("SELECT archives::text FROM archives"))).scalars().all()
        assert not any(form in row for row in stored for form in (token, token.encode().hex()))
        mine = {"id": (await account.me())["id"]}
        await tx.execute(text("UPDATE archives SET expires_at = now() WHERE user_id = :id"), mine)
    assert problem(await api.get(path)) == GONE
    assert (await api.head(path)).status_code == 404
    await apply_retention(server.services)
    async with db.read() as tx:
        assert (await tx.execute(text("SELECT count(*) FROM archives WHERE user_id = :id"), mine)).scalar_one() == 0


async def test_leaked_archive_url_ends_with_the_sign_in_or_token_that_made_it(
    account: Account, server: RunningServer, api: httpx2.AsyncClient, db: Db
) -> None:
    top = await make_folder(account, "/top")
    made = (await account.client.post("/v1/me/tokens", json={"name": "t", "scopes": ["files:read"]})).json()
    async with httpx2.AsyncClient(
        base_url=server.url, headers={"Authorization": f"Bearer {made['token']}"}, timeout=60
    ) as client:
        by_token = await make_url(client, folder_id=top)
    by_session, other = [await make_url(account.client, folder_id=top) for _ in range(2)]
    for path in (by_token, by_session):
        await fetch(api, path)
    await account.client.delete(f"/v1/me/tokens/{made['id']}")
    assert problem(await api.get(by_token)) == GONE
    await fetch(api, by_session)
    (current,) = (await account.client.get("/v1/me/sessions")).json()["items"]
    await account.client.delete(f"/v1/me/sessions/{current['id']}")
    assert problem(await api.get(by_session)) == GONE
    assert problem(await api.get(other)) == GONE


async def test_archive_url_of_a_disabled_account_is_404(account: Account, api: httpx2.AsyncClient, db: Db) -> None:
    path = await make_url(account.client, folder_id=await make_folder(account, "/top"))
    async with db.begin() as tx:
        disable = text("UPDATE users SET disabled_at = now() WHERE email = :email")
        await tx.execute(disable, {"email": account.email})
    assert problem(await api.get(path)) == GONE


# Access while it is read


async def test_archive_url_after_a_revoke_is_404_or_leaves_nodes_out_without_names(
    account: Account, register: Register, api: httpx2.AsyncClient, db: Db
) -> None:
    reader = await register()
    await verify(db, reader)
    shared, own = await make_folder(account, "/shared"), await make_folder(reader, "/own")
    secret = await put(account, shared, "before.txt")
    given = await grant(account, shared, reader, "viewer")
    whole, mixed = [await make_url(reader.client, ids=ids) for ids in ([shared], [own, secret])]
    await account.client.delete(f"/v1/files/{shared}/grants/{given['id']}")
    await account.client.patch(f"/v1/files/{secret}", json={"name": "named after the revoke.txt"})
    assert problem(await api.get(whole)) == GONE
    held = await fetch(api, mixed)
    assert held.keys() == {"own/", "NOT-INCLUDED.txt"}
    assert held["NOT-INCLUDED.txt"].startswith(f"{secret}: ".encode())


@pytest.mark.parametrize("end", ["revoke", "sign out"])
async def test_access_that_ends_while_an_archive_is_read_leaves_the_rest_out(
    account: Account, register: Register, server: RunningServer, end: str
) -> None:
    reader = await register()
    await verify(server.db, reader)
    shared = await make_folder(account, "/shared")
    for name in ("a.bin", "b.txt"):
        await put(account, shared, name, LARGE)
    later = str((await create_folder(account, "/shared/later"))["id"])
    given = await grant(account, shared, reader, "viewer")
    token = (await make_url(reader.client, folder_id=shared)).rpartition("/")[2]
    made = await archive_urls.open_archive(server.services, token, TransferSlots(4))
    async with aclosing(made.body):
        first = await anext(made.body)
        if end == "revoke":
            await account.client.delete(f"/v1/files/{shared}/grants/{given['id']}")
        else:
            await reader.client.delete("/v1/me/sessions")
            (current,) = (await reader.client.get("/v1/me/sessions")).json()["items"]
            await reader.client.delete(f"/v1/me/sessions/{current['id']}")
        await put(account, later, "new secret.txt")
        held = await collect(made.body, first)
    assert held.keys() == {"shared/", "shared/a.bin", "shared/later/", "shared/NOT-INCLUDED.txt"}
    told = held["shared/NOT-INCLUDED.txt"].decode()
    assert told.startswith("shared/b.txt: ")
    assert "new secret" not in told


async def test_link_that_is_revoked_while_its_archive_is_read_leaves_the_rest_out(
    account: Account, server: RunningServer
) -> None:
    shared = await make_folder(account, "/shared")
    for name in ("a.bin", "b.txt"):
        await put(account, shared, name, LARGE)
    used_up, revoked = [await make_link(account, shared, max_downloads=1) for _ in range(2)]
    names = []
    for link in (used_up, revoked):
        async with server.db.read() as tx:
            known = await access.require_link(tx, uuid.UUID(link["id"]))
        context = LinkContext(server.db, server.store, server.settings, known)
        made = await public.open_public_archive(context, None, TransferSlots(4))
        async with aclosing(made.body):
            first = await anext(made.body)
            if link is revoked:
                await account.client.delete(f"/v1/links/{link['id']}")
            names.append((await collect(made.body, first)).keys())
    assert names == [
        {"shared/", "shared/a.bin", "shared/b.txt"},
        {"shared/", "shared/a.bin", "shared/NOT-INCLUDED.txt"},
    ]
