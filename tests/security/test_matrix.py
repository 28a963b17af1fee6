"""Every route with every kind of caller, generated from the routes of the application and from matrix.yaml.

The file must list exactly the routes of the application. Routes that need no account (links) have their own tests,
named in the file.
"""

import json
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from fastapi.routing import iter_route_contexts
from sqlalchemy import text

from dropbox_api import example_page, web
from dropbox_api.accounts.actors import GRANTABLE
from dropbox_api.app import create_app
from dropbox_api.settings import Settings
from tests.support.browser import SAME_ORIGIN, Browser
from tests.support.senders import Sender
from tests.support.server import Account, RunningServer, register_account, sha256, start_body, upload_file

MATRIX: dict[str, dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("matrix.yaml").read_text(encoding="utf-8"))
ACTORS = ("anonymous", "cookie", "disabled", "link", "unscoped", "stranger", "revoked", "viewer", "editor", "owner")
KINDS = {"open", "own", "node", "upload", "admin", "public", "other"}


def routes() -> set[str]:
    """Return every route of the application, including pages, as "METHOD path".

    Files of the build that hold no data are left out: the web app (tests/integration/test_web.py), and in development
    the example page.
    """
    app = create_app(Settings(mode="dev"))
    return {
        f"{method} {context.path}"
        for context in iter_route_contexts(app.routes)
        if getattr(context.original_route, "endpoint", app).__module__ not in {web.__name__, example_page.__name__}
        for method in getattr(context.original_route, "methods", None) or ()
    }


def test_matrix_lists_exactly_the_routes() -> None:
    assert routes() == set(MATRIX)
    assert {row["kind"] for row in MATRIX.values()} <= KINDS


@dataclass
class World:
    """A shared folder of an owner, and a client for each kind of caller."""

    server: RunningServer
    owner: Account
    folder_id: str
    clients: dict[str, httpx2.AsyncClient] = field(default_factory=dict)

    async def subject(self, path: str, row: dict[str, Any], trashed_by: str = "owner") -> dict[str, str]:
        """Make the resource that the path names, fresh for each case; return the ids for the path."""
        unique = uuid.uuid4().hex
        place = {"destination": {"parent_id": self.folder_id, "on_conflict": "rename"}}
        ids = _make_unknown_ids(unique)
        if row["kind"] == "upload":
            body = start_body(unique.encode(), unique, strategy="multipart", **place)
            started = await self.owner.client.post("/v1/uploads", json=body)
            ids |= {
                "upload_id": started.raise_for_status().json()["upload"]["id"],
                "fingerprint": sha256(unique.encode()),
            }
        elif row["kind"] == "node" and row["of"] == "folder":
            folder = {"name": unique, "parent_id": self.folder_id}
            ids["file_id"] = (await self.owner.client.post("/v1/folders", json=folder)).raise_for_status().json()["id"]
        elif row["kind"] == "node":
            file = await upload_file(self.owner, b"matrix", unique, **place)
            ids |= {"file_id": file["id"], "revision_id": file["revision_id"]}
            if row["of"] == "trashed":
                (await self.clients[trashed_by].delete(f"/v1/files/{file['id']}")).raise_for_status()
        shares = {"grant_id": ("grants", {"email": f"{unique}@example.com", "role": "viewer"})}
        shares["link_id"] = ("links", {"mode": "upload" if "/uploads" in path else "view"})
        for name, (kind, body) in shares.items():
            if f"{{{name}}}" in path:
                made = await self.owner.client.post(f"/v1/files/{ids['file_id']}/{kind}", json=body)
                ids[name] = made.raise_for_status().json()["id"]
                if path.endswith("/uploads/{upload_id}"):
                    ids["upload_id"] = (await Sender(self.clients["anonymous"], made.json()).start(b"matrix"))["id"]
        return ids

    async def ask(self, name: str, actor: str, trashed_by: str = "owner") -> httpx2.Response:
        row = MATRIX[name]
        method, path = name.split(" ")
        ids = await self.subject(path, row, trashed_by)
        lacking = "account" if row.get("scope") == "any" else row.get("scope")
        client = self.clients[f"unscoped {lacking}" if actor == "unscoped" else actor]
        request: dict[str, Any] = {"params": json.loads(_filled(json.dumps(row.get("query")), ids))}
        if "body" in row:
            request["json"] = json.loads(_filled(json.dumps(row["body"]), ids))
        if "form" in row:
            request["data"] = json.loads(_filled(json.dumps(row["form"]), ids))
            request["files"] = {"file": ("matrix.txt", b"matrix")}
        if "content" in row:
            request["content"] = row["content"].encode()
        return await client.request(method, _filled(path, ids), follow_redirects=False, **request)


def _make_unknown_ids(unique: str) -> dict[str, str]:
    """Return values for all that a path or body may name, of things that do not exist."""
    ids = {"unique": unique, "fresh": sha256(unique.encode()), "fingerprint": sha256(b"matrix"), "token": "x" * 43}
    ids |= dict.fromkeys(("grant_id", "link_id", "user_id", "session_id", "token_id"), str(uuid.uuid4()))
    return ids | dict.fromkeys(("webhook_id", "delivery_id", "device_id", "copy_id", "passkey_id"), str(uuid.uuid4()))


def _filled(template: str, ids: dict[str, str]) -> str:
    for key, value in ids.items():
        template = template.replace("{" + key + "}", value)
    return template


@pytest.fixture(scope="module")
async def world(server: RunningServer) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:

        async def account() -> Account:
            made = await register_account(server.url)
            await stack.enter_async_context(made.client)
            return made

        async def client(bearer: str | None) -> httpx2.AsyncClient:
            headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
            return await stack.enter_async_context(httpx2.AsyncClient(base_url=server.url, headers=headers, timeout=60))

        owner = await account()
        made = await owner.client.post("/v1/folders", json={"path": "/above/shared"})
        world = World(server, owner, made.raise_for_status().json()["id"])
        people = {name: await account() for name in ("stranger", "revoked", "viewer", "editor", "disabled")}
        async with server.db.begin() as tx:
            await tx.execute(text("UPDATE users SET email_verified_at = now()"))
        for name, role in (("viewer", "viewer"), ("editor", "editor"), ("revoked", "editor"), ("disabled", "editor")):
            grant = {"email": people[name].email, "role": role}
            granted = await owner.client.post(f"/v1/files/{world.folder_id}/grants", json=grant)
            if name == "revoked":
                await owner.client.delete(f"/v1/files/{world.folder_id}/grants/{granted.json()['id']}")
        async with server.db.begin() as tx:
            disable = text("UPDATE users SET disabled_at = now() WHERE email = :email")
            await tx.execute(disable, {"email": people["disabled"].email})
        link = await owner.client.post(f"/v1/files/{world.folder_id}/links", json={"mode": "download"})
        world.clients = {name: person.client for name, person in people.items()}
        world.clients |= {
            "owner": owner.client,
            "anonymous": await client(None),
            "cookie": await client(None),
            "link": await client(link.json()["token"]),
        }
        # A page of the server with the owner's session cookie, which a browser would even keep to /v1/auth.
        browser = Browser(world.clients["cookie"])
        (await browser.sign_in(owner.email)).raise_for_status()
        cookie = f"dbx-session-{server.settings.http.port}={browser.cookie}"
        browser.http.cookies.clear()
        browser.http.headers |= SAME_ORIGIN | {"Cookie": cookie}
        for scope in ("account", *GRANTABLE):
            others = [other for other in GRANTABLE if other not in {scope, "admin"}]
            body = {"name": f"all but {scope}", "scopes": others}
            token = (await owner.client.post("/v1/me/tokens", json=body)).raise_for_status().json()["token"]
            world.clients[f"unscoped {scope}"] = await client(token)
        yield world


def expected(row: dict[str, Any], actor: str) -> int:
    if actor in {"anonymous", "cookie", "disabled", "link"}:
        return 401
    if actor == "unscoped" and row["scope"] != "any":
        return 403
    if row["kind"] == "own":
        return int(row["status"])
    if row["kind"] == "admin":
        return 403
    if actor in {"stranger", "revoked"}:
        return 404
    return int(row.get(actor, 404))


@pytest.mark.parametrize("actor", ACTORS)
@pytest.mark.parametrize(
    "name", [name for name, row in MATRIX.items() if row["kind"] in {"own", "node", "upload", "admin"}]
)
async def test_route_answers_each_actor_with_the_status_of_the_matrix(world: World, name: str, actor: str) -> None:
    answer = await world.ask(name, actor)
    assert answer.status_code == expected(MATRIX[name], actor), answer.text
    if actor in {"stranger", "revoked", "viewer", "editor"}:
        assert "above" not in answer.text, "folders above the shared one stay hidden"
    await answer.aclose()


@pytest.mark.parametrize("name", [name for name, row in MATRIX.items() if row.get("of") == "trashed"])
async def test_route_answers_the_editor_who_deleted_the_node_with_the_status_of_the_matrix(
    world: World, name: str
) -> None:
    answer = await world.ask(name, "editor", trashed_by="editor")
    assert answer.status_code == MATRIX[name].get("trasher", MATRIX[name]["editor"]), answer.text
    assert "above" not in answer.text


async def test_upload_token_is_accepted_by_no_route_but_those_of_its_uploads(world: World) -> None:
    """As the token of an account, as that of a link, and for a session under it."""
    wanted = {"parent_id": world.folder_id, "max_bytes": 100, "expires_in_s": 60}
    made = (await world.owner.client.post("/v1/upload-tokens", json=wanted)).raise_for_status().json()
    anonymous = world.clients["anonymous"]
    sender = Sender(anonymous, made)
    ids = _make_unknown_ids(uuid.uuid4().hex) | {"file_id": world.folder_id, "revision_id": str(uuid.uuid4())}
    ids |= {"upload_id": (await sender.start(b"matrix"))["id"], "fingerprint": sha256(b"matrix")}
    bearer = {"Authorization": f"Bearer {made['token']}"}
    answers, expected_answers = {}, {}
    for name, row in MATRIX.items():
        method, path = name.split(" ")
        if row["kind"] in {"own", "node", "upload", "admin"}:
            answer = await anonymous.request(method, _filled(path, ids), headers=bearer)
            expected_answers[name] = 401
        elif "{token}" in path:
            body = json.loads(_filled(json.dumps(row.get("body")), ids))
            address = _filled(path, ids | {"token": made["token"]})
            headers = {"X-Upload-Secret": sender.secret}
            answer = await anonymous.request(method, address, json=body, headers=headers, follow_redirects=False)
            expected_answers[name] = row.get("upload_token", 404)
        else:
            continue
        answers[name] = answer.status_code
    assert answers == expected_answers
