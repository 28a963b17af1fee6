"""Upload tokens: what a page of another site may do with one, and when it ends."""

import asyncio
import random
import uuid
from typing import Any

import httpx2
import pytest
from sqlalchemy import text

from dropbox_api.db import Db
from dropbox_api.workers.finish import finish_idle_uploads
from dropbox_api.workers.retain import apply_retention
from tests.conftest import Register
from tests.support.senders import Sender
from tests.support.server import MULTI, SMALLEST_CHUNK, Account, RunningServer, problem, upload_file
from tests.support.sharing import grant, make_folder, make_link, names_in, public, verify

pytestmark = pytest.mark.usefixtures("invariants_hold")

GONE = (404, "not-found")
MAX_BYTES = 10_000
DATA = b"from a page"
LARGE = random.Random(34).randbytes(SMALLEST_CHUNK + 1000)


async def create(client: httpx2.AsyncClient, parent_id: str, **more: Any) -> httpx2.Response:
    body = {"parent_id": parent_id, "max_bytes": MAX_BYTES, "expires_in_s": 3600}
    return await client.post("/v1/upload-tokens", json=body | more)


async def make_token(account: Account, parent_id: str, **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = (await create(account.client, parent_id, **more)).raise_for_status().json()
    return made


async def test_page_with_an_upload_token_only_adds_files_below_its_folder(
    account: Account, api: httpx2.AsyncClient
) -> None:
    inbox = await make_folder(account, "/inbox")
    mine = await upload_file(account, b"mine", "report.pdf", destination={"parent_id": inbox})
    page = Sender(api, await make_token(account, inbox))
    sent = await page.upload(DATA, "report.pdf", folder_path="2026/may")
    again = await page.upload(DATA, "report.pdf")
    assert (sent["state"], again["state"], again["name"]) == ("completed", "completed", "report.pdf")
    assert await names_in(account.client, "/v1/files", parent_id=inbox) == ["2026", "report (1).pdf", "report.pdf"]
    kept = (await account.client.get(f"/v1/files/{mine['id']}")).json()
    assert kept["revision_id"] == mine["revision_id"], "what is there is never replaced"
    for path in ("../out", "/..", "a/../../b"):
        assert (await page.post_start(b"x", folder_path=path)).status_code == 422
    file = f"/files/{mine['id']}"
    for path in ("", "/files", f"{file}/content", f"{file}/download", f"{file}/thumbnail", "/archive"):
        assert problem(await api.get(public(page.link, path))) == GONE
    assert problem(await api.post(public(page.link, "/pass"), json={})) == GONE
    assert problem(await api.post(public(page.link, "/upload"), files={"file": ("a", b"a")})) == GONE
    for method in ("GET", "POST"):
        assert (await api.request(method, f"/s/{page.link['token']}")).status_code in {404, 405}
    target = await make_folder(account, "/elsewhere")
    await account.client.patch(f"/v1/files/{inbox}", json={"parent_id": target, "name": "moved"})
    await page.upload(DATA, "later.pdf")
    assert "later.pdf" in await names_in(account.client, "/v1/files", path="/elsewhere/moved")


async def test_concurrent_uploads_by_a_token_stay_within_its_bytes(account: Account, api: httpx2.AsyncClient) -> None:
    token = await make_token(account, await make_folder(account, "/inbox"))
    pages = [Sender(api, token) for _ in range(3)]
    starts = [page.post_start(uuid.uuid4().bytes * 150, f"{n}") for n, page in enumerate(pages + pages[:2])]  # 2,400
    answers = await asyncio.gather(*starts)
    assert sorted(answer.status_code for answer in answers) == [201] * 4 + [413]
    assert [problem(answer)[1] for answer in answers if answer.status_code == 413] == ["link-full"]


async def test_upload_token_of_an_editor_sends_into_the_owners_tree_in_the_name_of_the_editor(
    server: RunningServer, account: Account, register: Register, api: httpx2.AsyncClient, db: Db
) -> None:
    owner, editor, viewer, stranger = account, await register(), await register(), await register()
    await verify(db, editor, viewer)
    inbox = await make_folder(owner, "/inbox")
    await grant(owner, inbox, editor, "editor")
    await grant(owner, inbox, viewer, "viewer")
    assert problem(await create(viewer.client, inbox)) == (403, "forbidden")
    answers = [await create(stranger.client, parent_id) for parent_id in (inbox, str(uuid.uuid4()))]
    assert [problem(answer) for answer in answers] == [GONE, GONE]
    root = (await owner.client.get("/v1/files/by-path", params={"path": "/"})).json()["id"]
    assert problem(await create(owner.client, root)) == (409, "root-folder")
    file = await upload_file(owner, b"x", "x")
    assert problem(await create(owner.client, file["id"])) == (409, "not-a-folder")
    refused: list[dict[str, Any]] = [{"max_bytes": 0}, {"expires_in_s": 0}, {"expires_in_s": 86401}, {"more": 1}]
    for wrong in refused:
        assert problem(await create(owner.client, inbox, **wrong)) == (422, "invalid-request")

    page = Sender(api, await make_token(editor, inbox, max_bytes=10**9))
    await page.upload(b"small", "small.txt")
    left = await page.start(LARGE, "large.bin", **MULTI)
    await page.send(left, LARGE)
    async with db.begin() as tx:
        await tx.execute(
            text("UPDATE uploads SET next_check_at = now() - interval '1 year' WHERE id = :id"), {"id": left["id"]}
        )
    await finish_idle_uploads(server.services)
    for name in ("small.txt", "large.bin"):
        sent = (await owner.client.get("/v1/files/by-path", params={"path": f"/inbox/{name}"})).json()
        (revision,) = (await owner.client.get(f"/v1/files/{sent['id']}/revisions")).json()["items"]
        assert (sent["owner"], revision["author"]) == (owner.email, editor.email)
    assert (await owner.me())["used_bytes"] == len(LARGE) + len(b"smallx")
    assert (await editor.me())["used_bytes"] == 0
    (token,) = (await editor.client.get("/v1/upload-tokens")).json()["items"]
    assert (token["received_bytes"], token["received_files"]) == (len(LARGE) + len(b"small"), 2)
    actions = [item["action"] for item in (await owner.client.get(f"/v1/files/{inbox}/activity")).json()["items"]]
    assert actions.count("upload-token-created") == 1
    assert (await owner.client.get("/v1/upload-tokens")).json()["items"] == []
    assert problem(await owner.client.delete(f"/v1/upload-tokens/{token['id']}")) == GONE


OF_LINK = "FROM links WHERE node_id = :folder AND"
ENDS = {
    "revoked": "UPDATE links SET revoked_at = now() WHERE node_id = :folder",
    "trashed": "UPDATE nodes SET trashed_at = now() WHERE id = :folder",
    "trashed above": "UPDATE nodes SET trashed_at = now() FROM nodes a WHERE a.id = :folder AND nodes.id = a.parent_id",
    "viewer": "UPDATE grants SET role = 'viewer' WHERE node_id = :folder",
    "unshared": "DELETE FROM grants WHERE node_id = :folder",
    "owner disabled": "UPDATE users SET disabled_at = now() WHERE email = :owner",
    "owner being deleted": "UPDATE users SET purge_at = now() + interval '30 days' WHERE email = :owner",
    "maker disabled": "UPDATE users SET disabled_at = now() WHERE email = :maker",
    "token revoked": f"UPDATE api_tokens SET revoked_at = now() {OF_LINK} api_tokens.id = token_id",
    "token expired": f"UPDATE api_tokens SET expires_at = now() {OF_LINK} api_tokens.id = token_id",
    "signed out": f"UPDATE sessions SET revoked_at = now() {OF_LINK} sessions.id = session_id",
    "sign-in expired": f"UPDATE sessions SET expires_at = now() {OF_LINK} sessions.id = session_id",
}
RESTORE = """
    WITH one AS (SELECT id FROM users WHERE email IN (:owner, :maker)),
        enabled AS (UPDATE users SET disabled_at = NULL, purge_at = NULL FROM one WHERE users.id = one.id),
        tokens AS (UPDATE api_tokens SET revoked_at = NULL, expires_at = NULL FROM one WHERE user_id = one.id),
        folders AS (UPDATE nodes SET trashed_at = NULL FROM one WHERE owner_id = one.id)
    UPDATE sessions SET revoked_at = NULL, expires_at = now() + interval '1 day' FROM one WHERE user_id = one.id
"""


async def test_upload_token_ends_with_all_that_it_depends_on(
    server: RunningServer, account: Account, register: Register, api: httpx2.AsyncClient, db: Db
) -> None:
    """And so do the uploads under it."""
    maker = await register()
    await verify(db, maker)
    wanted = {"name": "t", "scopes": ["files:read", "files:write"]}
    personal = (await maker.client.post("/v1/me/tokens", json=wanted)).raise_for_status().json()["token"]
    headers = {"Authorization": f"Bearer {personal}"}
    seen = {}
    async with httpx2.AsyncClient(base_url=server.url, headers=headers, timeout=60) as program:
        for name, end in ENDS.items():
            folder = await make_folder(account, f"/{name}/inbox")
            await grant(account, folder, maker, "editor")
            made = await create(program if name.startswith("token") else maker.client, folder)
            page = Sender(api, made.raise_for_status().json())
            upload = await page.start(DATA)
            await page.send(upload, DATA)
            bound = {"folder": folder, "owner": account.email, "maker": maker.email}
            async with db.begin() as tx:
                await tx.execute(text(end), {key: bound[key] for key in bound if f":{key}" in end})
            answers = [await page.post_start(b"new"), await page.sign(upload, DATA), await page.complete(upload)]
            async with db.begin() as tx:
                await tx.execute(text(RESTORE), {"owner": account.email, "maker": maker.email})
                state = text("SELECT state FROM uploads WHERE link_id = CAST(:id AS uuid)")
                seen[name] = await tx.scalar(state, {"id": page.link["id"]}), [answer.status_code for answer in answers]
    assert seen == dict.fromkeys(ENDS, ("aborted", [404] * 3))


async def test_upload_that_has_begun_outlives_the_expiry_and_the_cleaning_of_its_token(
    server: RunningServer, account: Account, api: httpx2.AsyncClient, db: Db
) -> None:
    inbox = await make_folder(account, "/inbox")
    dead, begun, alive = [await make_token(account, inbox) for _ in range(3)]
    link = await make_link(account, inbox, "upload")
    page = Sender(api, begun)
    upload = await page.start(DATA)
    await page.send(upload, DATA)
    expire = text("UPDATE links SET expires_at = now() - interval '3 days' WHERE id = ANY(CAST(:ids AS uuid[]))")
    async with db.begin() as tx:
        await tx.execute(expire, {"ids": [one["id"] for one in (dead, begun, link)]})

    async def clean() -> set[str]:
        await apply_retention(server.services)
        async with db.read() as tx:
            kept = text("SELECT id::text FROM links WHERE node_id = CAST(:id AS uuid)")
            return set((await tx.execute(kept, {"id": inbox})).scalars())

    assert problem(await page.post_start(b"new")) == GONE
    assert await clean() == {begun["id"], alive["id"], link["id"]}
    assert (await page.complete(upload)).json()["state"] == "completed"
    assert await clean() == {alive["id"], link["id"]}


async def test_upload_tokens_are_listed_apart_from_links(account: Account, register: Register) -> None:
    inbox = await make_folder(account, "/inbox")
    tokens = [await make_token(account, inbox) for _ in range(2)]
    client = account.client
    listed = (await client.get("/v1/upload-tokens")).raise_for_status().json()["items"]
    expected = [{name: value for name, value in token.items() if name != "token"} for token in reversed(tokens)]
    assert listed == expected
    first = (await client.get("/v1/upload-tokens", params={"limit": 1})).json()
    rest = (await client.get("/v1/upload-tokens", params={"cursor": first["next_cursor"]})).json()
    assert first["items"] + rest["items"] == expected
    assert (await client.get(f"/v1/files/{inbox}/links")).json()["items"] == []
    assert (await client.get(f"/v1/files/{inbox}")).json()["has_link"] is False
    assert (await client.get("/v1/shared-by-me")).json()["items"] == []
    assert (await client.get("/v1/me/deletion")).json()["links"] == 0
    link = f"/v1/links/{tokens[0]['id']}"
    answers = [await client.patch(link, json={"expires_at": None}), await client.delete(link)]
    answers.append(await client.get(f"{link}/uploads"))
    shown = await make_link(account, inbox, "upload")
    answers.append(await client.delete(f"/v1/upload-tokens/{shown['id']}"))
    answers.append(await (await register()).client.delete(f"/v1/upload-tokens/{tokens[0]['id']}"))
    assert [problem(answer) for answer in answers] == [GONE] * 5
    (share,) = (await client.get("/v1/shared-by-me")).json()["items"]
    assert share["link_count"] == 1
    assert (await client.delete(f"/v1/upload-tokens/{tokens[0]['id']}")).status_code == 204
    assert problem(await client.delete(f"/v1/upload-tokens/{tokens[0]['id']}")) == GONE
    assert (await client.get("/v1/upload-tokens")).json()["items"] == expected[:1]
