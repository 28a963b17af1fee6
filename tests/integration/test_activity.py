"""Who made a change: actors of events, and the activity of an account."""

import uuid
from typing import Any

import httpx2
import pytest

from dropbox_api.events import journal
from dropbox_api.workers.relay import relay_changes
from dropbox_api.workers.verify import verify_next_blob
from tests.conftest import Register
from tests.support.plans import explain, record_statements
from tests.support.server import (
    MULTI,
    Account,
    RunningServer,
    complete,
    create_folder,
    problem,
    run_until_idle,
    send,
    start,
    upload_file,
)
from tests.support.sharing import grant, make_folder, make_link, public, verify

UNNAMED = {"id": None, "email": None, "display_name": None, "token": None}


async def activity(account: Account, **query: Any) -> dict[str, Any]:
    answer = await account.client.get("/v1/me/activity", params=query)
    found: dict[str, Any] = answer.raise_for_status().json()
    return found


async def last_actor(account: Account, kind: str) -> dict[str, Any]:
    """Return the actor of the newest event of a kind, as both lists show it."""
    event = (await activity(account, kind=kind))["items"][0]
    fed = (await account.client.get("/v1/events", params={"since": "2000-01-01T00:00:00Z"})).raise_for_status().json()
    assert [one["actor"] for one in fed["events"] if one["id"] == event["id"]] == [event["actor"]]
    actor: dict[str, Any] = event["actor"]
    return actor


async def describe(account: Account, **more: Any) -> dict[str, Any]:
    me = await account.me()
    return {"kind": "account", "id": me["id"], "email": account.email, "display_name": None, "token": None} | more


@pytest.fixture
async def people(register: Register, server: RunningServer) -> tuple[Account, Account, Account]:
    """An owner, an editor and a viewer of everything in the owner's folder /shared."""
    ada, ed, vi = await register(), await register(), await register()
    await verify(server.db, ed, vi)
    return ada, ed, vi


async def test_actor_is_named_to_accounts_that_see_it_already(
    people: tuple[Account, Account, Account], server: RunningServer
) -> None:
    ada, ed, vi = people
    shared = await make_folder(ada, "/shared")
    for person, role in ((ed, "editor"), (vi, "viewer")):
        await grant(ada, shared, person, role)
    await ed.client.patch("/v1/me", json={"display_name": "Ed"})
    await ada.client.patch(f"/v1/files/{await make_folder(ada, '/shared/by ada')}", json={"name": "by Ada"})
    await run_until_idle(relay_changes, server.services)
    for reader in people:
        assert await last_actor(reader, "file.renamed") == await describe(ada)

    file = await upload_file(ed, b"by ed", "file", destination={"parent_id": shared})
    await ed.client.patch(f"/v1/files/{file['id']}", json={"name": "renamed"})
    await run_until_idle(relay_changes, server.services)
    for reader in people:
        assert await last_actor(reader, "file.created") == await describe(ed, display_name="Ed"), (
            "as the revision shows"
        )
    for reader in (ada, ed):
        assert await last_actor(reader, "file.renamed") == await describe(ed, display_name="Ed")
    assert await last_actor(vi, "file.renamed") == UNNAMED | {"kind": "account"}

    await ed.client.delete(f"/v1/files/{file['id']}")
    await run_until_idle(relay_changes, server.services)
    (event,) = (await activity(vi, kind="file.trashed"))["items"]
    assert (event["file"], event["actor"], event["detail"]) == (None, None, {})
    (event,) = (await activity(ada, kind="file.trashed"))["items"]
    assert (event["file"]["path"], event["actor"]["email"]) == ("/shared/renamed", ed.email), "own trash is shown"


async def test_actor_with_a_personal_token_sees_its_name_alone(
    people: tuple[Account, Account, Account], server: RunningServer
) -> None:
    ada, ed, _ = people
    body = {"name": "backup", "scopes": ["files:read", "files:write"]}
    token = (await ada.client.post("/v1/me/tokens", json=body)).raise_for_status().json()["token"]
    shared = await make_folder(ada, "/shared")
    await grant(ada, shared, ed, "viewer")
    async with httpx2.AsyncClient(base_url=server.url, headers={"Authorization": f"Bearer {token}"}) as program:
        made = await program.post("/v1/folders", json={"parent_id": shared, "name": "by program"})
        made.raise_for_status()
    await run_until_idle(relay_changes, server.services)
    assert await last_actor(ada, "file.created") == await describe(ada, token="backup")
    assert await last_actor(ed, "file.created") == await describe(ada)


async def test_actor_of_an_upload_by_link_is_the_link_and_of_a_job_the_server(
    people: tuple[Account, Account, Account], server: RunningServer, api: httpx2.AsyncClient
) -> None:
    ada, _, vi = people
    inbox = await make_folder(ada, "/inbox")
    await grant(ada, inbox, vi, "viewer")
    link = await make_link(ada, inbox, "upload")
    (await api.post(public(link, "/upload"), files={"file": ("sent", b"sent")})).raise_for_status()
    await run_until_idle(relay_changes, server.services)
    assert await last_actor(ada, "file.created") == UNNAMED | {"kind": "link", "id": link["id"]}
    assert await last_actor(vi, "file.created") == UNNAMED | {"kind": "link"}
    data = uuid.uuid4().bytes
    session = await start(ada, data, "multi", **MULTI)
    await send(ada, session, data)
    (await complete(ada, session["id"])).raise_for_status()
    assert await last_actor(ada, "file.created") == await describe(ada)
    await run_until_idle(verify_next_blob, server.services)
    assert await last_actor(ada, "file.verified") == UNNAMED | {"kind": "server"}


async def test_activity_pages_backwards_through_the_journal(account: Account) -> None:
    for n in range(5):
        folder = await create_folder(account, f"/{n}")
        await account.client.patch(f"/v1/files/{folder['id']}", json={"name": f"renamed {n}"})
    everything = (await activity(account))["items"]
    assert [event["kind"] for event in everything] == ["file.renamed", "file.created"] * 5
    assert [event["file"]["path"] for event in everything[::2]] == [f"/renamed {n}" for n in (4, 3, 2, 1, 0)]
    for query, expected in (({}, everything), ({"kind": "file.renamed"}, everything[::2])):
        for limit in (1, 3, 5):
            paged: list[Any] = []
            cursor: dict[str, str] = {}
            while True:
                page = await activity(account, limit=limit, **query, **cursor)
                paged += page["items"]
                if page["next_cursor"] is None:
                    break
                cursor = {"cursor": page["next_cursor"]}
            assert paged == expected
    assert problem(await account.client.get("/v1/me/activity", params={"cursor": "x"})) == (422, "invalid-cursor")
    assert problem(await account.client.get("/v1/me/activity", params={"kind": "x"})) == (422, "invalid-request")


async def test_activity_of_a_rare_kind_examines_a_bounded_part_of_the_journal(
    account: Account, server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "READ_AT_ONCE", 3)
    folder = await create_folder(account, "/rare")
    await account.client.delete(f"/v1/files/{folder['id']}")
    for n in range(6):
        await create_folder(account, f"/{n}")
    with record_statements(server.db) as seen:
        first = await activity(account, kind="file.trashed")
    assert first["items"] == []
    second = await activity(account, kind="file.trashed", cursor=first["next_cursor"])
    third = await activity(account, kind="file.trashed", cursor=second["next_cursor"])
    assert [event["file_id"] for event in second["items"] + third["items"]] == [folder["id"]]
    assert third["next_cursor"] is None
    (statement,) = [one for one in seen if "ORDER BY seq DESC" in one[0]]
    nodes = await explain(server.db, statement, enable_seqscan="off", enable_sort="off")
    assert not {node["Node Type"] for node in nodes} & {"Sort", "Seq Scan"}
    assert any("seq >=" in node.get("Index Cond", "") for node in nodes)


async def test_event_older_than_its_actor_has_none(account: Account, server: RunningServer) -> None:
    await create_folder(account, "/old")
    async with server.db.begin() as tx:
        statement = "UPDATE events SET actor_kind = NULL, actor_id = NULL WHERE recipient_id = $1"
        await tx.exec_driver_sql(statement, (uuid.UUID((await account.me())["id"]),))
    assert [event["actor"] for event in (await activity(account))["items"]] == [None]
