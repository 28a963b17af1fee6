"""HEAD: wherever there is GET, its status and headers without a body and without effects."""

import contextlib
import uuid
from typing import Any

import httpx2
import pytest
from sqlalchemy import text

from dropbox_api.app import create_app
from dropbox_api.db import Db
from dropbox_api.settings import Settings
from tests.support.server import Account, RunningServer, create_folder, problem, upload_file
from tests.support.sharing import make_link, public

pytestmark = pytest.mark.usefixtures("invariants_hold")

ENDLESS = "/v1/events/stream"
OIDC = ("/v1/auth/oidc/start", "/v1/auth/oidc/callback")
DESCRIBED = [
    path
    for path, item in create_app(Settings(mode="dev")).openapi()["paths"].items()
    if "get" in item and path not in {ENDLESS, *OIDC}
]
PAGES = ["/docs", "/openapi.json", "/docs/static/swagger-ui.css", "/metrics", "/verify-email", "/s/links.css"]
LINK_PAGES = ["/s/{token}", "/s/{token}/archive", "/s/{token}/files/{file_id}/content"]
QUERIES = {"/v1/files/by-path": "?path=/", "/v1/files/{file_id}/by-path": "?path=/a.txt", "/v1/search": "?q=a"}
UNKNOWN = (
    "user_id",
    "webhook_id",
    "delivery_id",
    "token_id",
    "copy_id",
    "link_id",
    "passkey_id",
    "device_id",
    "archive_token",
)
"""Parameters of addresses whose answer is a problem."""
CHANGING = {"date", "x-request-id", "content-length", "transfer-encoding", "location"}
"""Headers that differ between two answers: bodies and signed URLs contain times."""

_EFFECTS = text("""
    SELECT (SELECT count(*) FROM audit_log), (SELECT coalesce(sum(downloads), 0) FROM links)
""")


async def read_effects(db: Db) -> Any:
    async with db.read() as tx:
        return (await tx.execute(_EFFECTS)).one()


def told(answer: httpx2.Response) -> tuple[int, dict[str, str]]:
    return answer.status_code, {name: value for name, value in answer.headers.items() if name not in CHANGING}


async def test_head_of_every_address_with_get_is_its_answer_without_body_and_effect(
    account: Account, db: Db, server: RunningServer
) -> None:
    folder = await create_folder(account, "/folder")
    file = await upload_file(account, b"content", "a.txt", destination={"parent_id": folder["id"]})
    link = await make_link(account, folder["id"])
    upload_id = (await account.client.get("/v1/uploads")).json()["items"][0]["id"]
    of_links = {"token": link["token"], "file_id": file["id"], "folder_id": folder["id"]}
    for template in [*DESCRIBED, *PAGES, *LINK_PAGES]:
        for file_id in (file["id"], folder["id"]):
            known = of_links | {"file_id": file_id, "upload_id": upload_id, "fingerprint": file["fingerprint"]}
            unknown = {name: str(uuid.uuid4()) for name in UNKNOWN}
            path = template.format(**unknown | known) + QUERIES.get(template, "")
            before = await read_effects(db)
            head = await account.client.head(path)
            assert await read_effects(db) == before, path
            assert head.content == b""
            assert told(head) == told(await account.client.get(path)), path


async def test_head_of_a_link_with_a_budget_uses_none_of_it(account: Account, api: httpx2.AsyncClient) -> None:
    file = await upload_file(account, b"content", "a.txt")
    link = await make_link(account, file["id"], max_downloads=1)
    content = public(link, f"/files/{file['id']}/content")
    for _ in range(3):
        head = await api.head(content)
        assert head.status_code == 307
        stored = await api.head(head.headers["location"])
        assert (stored.status_code, stored.headers["content-length"]) == (200, "7")
    assert (await api.get(content, follow_redirects=True)).content == b"content"
    assert (await api.head(content)).status_code == 404, "the budget is used up"


async def test_head_of_an_archive_needs_no_transfer_slot(account: Account, server: RunningServer) -> None:
    folder = await create_folder(account, "/folder")
    user_id = uuid.UUID((await account.me())["id"])
    async with contextlib.AsyncExitStack() as held:
        for _ in range(server.settings.uploads.streams_at_once // 4):
            await held.enter_async_context(server.app.state.archives.hold(user_id))
        head = await account.client.head(f"/v1/files/{folder['id']}/archive")
        assert (head.status_code, head.headers["content-type"]) == (200, "application/zip")
        assert "folder.zip" in head.headers["content-disposition"]
    await upload_file(account, b"content", "a.txt", destination={"parent_id": folder["id"]})
    archive = await account.client.get(f"/v1/files/{folder['id']}/archive")
    assert archive.content.startswith(b"PK"), "the connection still works after HEAD"


async def test_head_of_a_stream_ends_after_its_headers(account: Account) -> None:
    head = await account.client.head(ENDLESS, params={"cursor": (await cursor(account))})
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"].startswith("text/event-stream")


async def cursor(account: Account) -> str:
    return str((await account.client.get("/v1/events/cursor")).json()["cursor"])


@pytest.mark.parametrize("path", ["/v1/auth/token", "/v1/uploads/batch/complete", *OIDC])
async def test_head_where_there_is_no_get_without_effect_is_405(api: httpx2.AsyncClient, path: str) -> None:
    head = await api.head(path)
    assert (head.status_code, head.content) == (405, b"")


async def test_change_by_another_method_is_kept_after_head_on_its_connection(account: Account) -> None:
    assert (await account.client.head("/v1/me")).status_code == 200
    created = await account.client.post("/v1/folders", json={"name": "a"})
    assert problem(await account.client.post("/v1/folders", json={"name": "a"})) == (409, "name-taken")
    assert (await account.client.head(f"/v1/files/{created.json()['id']}")).headers["etag"] == created.headers["etag"]
