"""The deletion of an account: request, restore within the time of grace, purge by the worker."""

import uuid
from typing import Any

import httpx2
import pytest
from sqlalchemy import text

from dropbox_api import access
from dropbox_api.db import Db
from dropbox_api.workers import jobs
from tests.conftest import Register
from tests.support.server import Account, RunningServer, create_folder, download, problem, start_body, upload_file
from tests.support.sharing import grant, make_folder, make_link, names_in, public, verify

pytestmark = pytest.mark.usefixtures("invariants_hold")


async def request_deletion(account: Account) -> dict[str, Any]:
    answer = await account.client.post("/v1/me/deletion", json={"password": account.password})
    assert answer.status_code == 202, answer.text
    deletion: dict[str, Any] = answer.json()
    return deletion


async def sign_in(api: httpx2.AsyncClient, account: Account) -> dict[str, str]:
    """Sign in; return the header of the new session."""
    form = {"grant_type": "password", "username": account.email, "password": account.password}
    token = (await api.post("/v1/auth/token", data=form)).raise_for_status().json()["access_token"]
    return {"Authorization": f"Bearer {token}"}


async def purge(server: RunningServer, db: Db, account: Account) -> None:
    """Let the time of grace pass, and run the jobs until the account is a tombstone."""
    due = text("UPDATE users SET purge_at = now() - interval '1 second' WHERE email = :email RETURNING id")
    async with db.begin() as tx:
        user_id = (await tx.execute(due, {"email": account.email})).scalar_one()
    is_deleted = text("SELECT deleted_at IS NOT NULL FROM users WHERE id = :id")
    for _ in range(10):
        for name in ("relay", "delete-accounts", "purge", "collect"):
            await jobs.JOBS[name].run(server.services)
        async with db.read() as tx:
            if (await tx.execute(is_deleted, {"id": user_id})).scalar_one():
                return
    raise AssertionError("the account is not deleted")


async def test_request_shows_what_is_lost_and_ends_everything_at_once(
    register: Register, api: httpx2.AsyncClient, db: Db
) -> None:
    ada, vi = await register(), await register()
    await verify(db, ada, vi)
    shared, box = await make_folder(ada, "/shared"), await make_folder(vi, "/box")
    file = await upload_file(ada, b"one", "one.txt", destination={"parent_id": shared})
    await grant(ada, shared, vi, "viewer")
    await grant(vi, box, ada, "editor")
    link = await make_link(ada, shared)
    token = (await ada.client.post("/v1/me/tokens", json={"name": "t", "scopes": ["files:read"]})).json()["token"]
    for at in ({}, {"parent_id": box}):
        body = start_body(b"open" + str(at).encode(), "open", destination=at)
        (await ada.client.post("/v1/uploads", json=body)).raise_for_status()
    shown = (await ada.client.get("/v1/me/deletion")).json()
    assert (shown["purge_at"], shown["nodes"], shown["shared_items"], shown["grantees"], shown["links"]) == (
        None,
        2,
        1,
        1,
        1,
    )
    wrong = await ada.client.post("/v1/me/deletion", json={"password": "wrong password"})
    assert problem(wrong) == (401, "invalid-credentials")
    assert (await request_deletion(ada))["purge_at"] is not None
    assert problem(await ada.client.get("/v1/me")) == (401, "unauthenticated")
    bearer = {"Authorization": f"Bearer {token}"}
    assert problem(await api.get("/v1/files", headers=bearer)) == (401, "unauthenticated")
    assert problem(await api.get(public(link))) == (404, "not-found")
    assert problem(await vi.client.get(f"/v1/files/{file['id']}")) == (404, "not-found")
    assert await names_in(vi.client, "/v1/shared-with-me") == []
    assert (await vi.me())["reserved_bytes"] == 0
    taken = await api.post("/v1/auth/register", json={"email": ada.email, "password": ada.password})
    assert problem(taken) == (409, "email-taken")


async def test_sign_in_during_the_grace_offers_only_the_restore(
    register: Register, api: httpx2.AsyncClient, db: Db
) -> None:
    ada, vi = await register(), await register()
    await verify(db, vi)
    file = await upload_file(ada, b"one", "one.txt")
    await grant(ada, file["id"], vi, "viewer")
    link = await make_link(ada, file["id"])
    assert problem(await ada.client.delete("/v1/me/deletion")) == (403, "forbidden")
    await request_deletion(ada)
    session = await sign_in(api, ada)
    assert (await api.get("/v1/me", headers=session)).json()["purge_at"] is not None
    for method, path in (
        ("GET", "/v1/files"),
        ("POST", "/v1/me/deletion"),
        ("GET", "/v1/me/sessions"),
        ("POST", "/v1/me/tokens"),
        ("PATCH", "/v1/me"),
        ("GET", f"/v1/files/{file['id']}/content"),
    ):
        body = {"name": "t", "scopes": ["files:read"]} if path.endswith("tokens") else {}
        refused = await api.request(method, path, headers=session, json=body if method != "GET" else None)
        assert problem(refused) == (403, "forbidden"), path
        assert refused.json()["reason"] == "being-deleted", path
    assert (await api.delete("/v1/me/deletion", headers=session)).status_code == 204
    assert problem(await api.delete("/v1/me/deletion", headers=session)) == (403, "forbidden")
    assert (await api.get("/v1/me", headers=session)).json()["purge_at"] is None
    assert (await api.get("/v1/files", headers=session)).json()["items"][0]["name"] == "one.txt"
    assert (await api.get(public(link))).status_code == 200
    assert problem(await vi.client.get(f"/v1/files/{file['id']}")) == (404, "not-found"), "grants have ended"


async def test_purge_leaves_a_tombstone_to_which_the_revisions_of_others_refer(
    register: Register, api: httpx2.AsyncClient, server: RunningServer, db: Db
) -> None:
    ada, vi = await register(), await register()
    await verify(db, ada, vi)
    box = await make_folder(vi, "/box")
    await grant(vi, box, ada, "editor")
    sent = await upload_file(ada, b"sent", "sent.txt", destination={"parent_id": box})
    await create_folder(ada, "/a")
    await upload_file(ada, b"mine", "mine.txt", destination={"folder_path": "/a/b"})
    ada_id = (await ada.me())["id"]
    await request_deletion(ada)
    await purge(server, db, ada)
    form = {"grant_type": "password", "username": ada.email, "password": ada.password}
    assert problem(await api.post("/v1/auth/token", data=form)) == (401, "invalid-credentials")
    assert await download(vi, sent["id"]) == b"sent"
    (revision,) = (await vi.client.get(f"/v1/files/{sent['id']}/revisions")).json()["items"]
    assert ada.email not in str(revision)
    assert "Deleted account" in str(revision)
    activity = (await vi.client.get(f"/v1/files/{sent['id']}/activity")).json()["items"][-1]
    assert (activity["actor"], activity["address"], activity["user_agent"]) == (f"deleted-{ada_id}", None, None)
    granted = (await vi.client.get(f"/v1/files/{box}/grants")).json()["items"]
    assert granted == []
    by_id = await vi.client.post(f"/v1/files/{box}/grants", json={"user_id": ada_id, "role": "viewer"})
    assert problem(by_id) == (404, "not-found")
    again = await api.post("/v1/auth/register", json={"email": ada.email, "password": ada.password})
    assert again.status_code == 201


async def test_grant_to_an_address_whose_account_is_purged_waits_for_the_next_account(
    register: Register, api: httpx2.AsyncClient, server: RunningServer, db: Db
) -> None:
    ada, vi = await register(), await register()
    await verify(db, ada, vi)
    box = await make_folder(vi, "/box")
    await upload_file(ada, b"mine", "mine.txt")
    await request_deletion(ada)
    due = text("UPDATE users SET purge_at = now() - interval '1 second' WHERE email = :email")
    async with db.begin() as tx:
        await tx.execute(due, {"email": ada.email})
    await jobs.JOBS["delete-accounts"].run(server.services)  # other jobs have to work on the rest
    assert (await grant(vi, box, ada, "viewer"))["pending"]
    await purge(server, db, ada)
    body = {"email": ada.email, "password": ada.password}
    (await api.post("/v1/auth/register", json=body)).raise_for_status()
    await verify(db, ada)
    again = await sign_in(api, ada)
    assert [item["name"] for item in (await api.get("/v1/shared-with-me", headers=again)).json()["items"]] == ["box"]


async def test_links_of_an_account_in_deletion_finish_nothing(register: Register, db: Db) -> None:
    """Neither an archive that is being read nor an upload that has begun."""
    ada = await register()
    folder = await make_folder(ada, "/a")
    down, up = await make_link(ada, folder), await make_link(ada, folder, "upload")
    await request_deletion(ada)
    async with db.read() as tx:
        assert not await access.may_finish_link(tx, uuid.UUID(down["id"]), uuid.UUID(folder))
        assert await access.find_receiving_links(tx, [uuid.UUID(up["id"])]) == {}


async def test_purge_of_a_restored_account_does_nothing(
    register: Register, api: httpx2.AsyncClient, server: RunningServer
) -> None:
    ada = await register()
    await upload_file(ada, b"one", "one.txt")
    await request_deletion(ada)
    session = await sign_in(api, ada)
    await jobs.JOBS["delete-accounts"].run(server.services)
    (await api.delete("/v1/me/deletion", headers=session)).raise_for_status()
    await jobs.JOBS["delete-accounts"].run(server.services)
    assert (await api.get("/v1/files", headers=session)).json()["items"][0]["name"] == "one.txt"


async def test_last_administrator_cannot_delete_the_account(register: Register, db: Db) -> None:
    ada, bob = await register(), await register()
    promote = text("UPDATE users SET is_admin = email = ANY(:emails)")
    async with db.begin() as tx:
        await tx.execute(promote, {"emails": [ada.email, bob.email]})
    await request_deletion(bob)
    refused = await ada.client.post("/v1/me/deletion", json={"password": ada.password})
    assert problem(refused) == (403, "forbidden")
    listed = (await ada.client.get("/v1/admin/users", params={"q": bob.email})).json()["items"][0]
    assert (listed["purge_at"] is not None, listed["deleted_at"]) == (True, None)
    me = (await ada.me())["id"]
    assert problem(await ada.client.patch(f"/v1/admin/users/{me}", json={"is_admin": False})) == (403, "forbidden")
    async with db.begin() as tx:
        await tx.execute(text("UPDATE users SET is_admin = false"))
