"""The journal through HTTP: which events each reader sees, waiting for them, and that no wake-up is lost.

Copies for others are the relay's: `relay` runs it once, as the worker does.
"""

import asyncio
import contextlib
import json
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx2
import pytest
from sqlalchemy import text

from dropbox_api.context import Services
from dropbox_api.db import Db, first_id_at, new_id
from dropbox_api.events.wakeup import Wakeup
from dropbox_api.feed.read import FeedPage
from dropbox_api.feed.routes import stream as stream_route
from dropbox_api.feed.routes.reader import JournalResponse
from dropbox_api.workers import retain
from dropbox_api.workers.retain import apply_retention
from tests.conftest import Register
from tests.support.server import (
    Account,
    RunningServer,
    make_settings,
    problem,
    register_account,
    running_server,
    upload_file,
)
from tests.support.sharing import make_folder

POLL = {"wait_s": 60}
LISTENER = "dropbox-api listen"


async def cursor_of(account: Account) -> str:
    cursor: str = (await account.client.get("/v1/events/cursor")).raise_for_status().json()["cursor"]
    return cursor


async def read(account: Account, **query: Any) -> dict[str, Any]:
    found: dict[str, Any] = (await account.client.get("/v1/events", params=query)).raise_for_status().json()
    return found


def kinds_and_files(found: dict[str, Any]) -> list[tuple[str, str]]:
    return [(event["kind"], event["file_id"]) for event in found["events"]]


def wakeup_of(server: RunningServer) -> Wakeup:
    wakeup: Wakeup = server.app.state.wakeup
    return wakeup


async def until_waiting(server: RunningServer, count: int) -> None:
    """Return when this number of requests wait in the server, after their read."""
    wakeup = wakeup_of(server)
    async with asyncio.timeout(30):
        while wakeup.waiting != count or any(  # noqa: ASYNC110 - waiters signal nothing
            waiter._timeout is None for waiters in wakeup._waiters.values() for waiter in waiters
        ):
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def polling(server: RunningServer, account: Account, **query: Any) -> AsyncIterator[asyncio.Task[Any]]:
    """A waiting long poll."""
    already = wakeup_of(server).waiting
    task = asyncio.create_task(account.client.get("/v1/events", params=POLL | query))
    await until_waiting(server, already + 1)
    yield task
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


# Reading


async def test_read_shows_each_change_once_in_order_with_the_current_file(account: Account) -> None:
    cursor = await cursor_of(account)
    folder_id = await make_folder(account, "/trip")
    file = await upload_file(account, b"cat", "cat.jpg")
    await account.client.patch(f"/v1/files/{file['id']}", json={"name": "dog.jpg"})
    found = await read(account, cursor=cursor)
    assert kinds_and_files(found) == [
        ("file.created", folder_id),
        ("file.created", file["id"]),
        ("file.renamed", file["id"]),
    ]
    assert [event["file"]["name"] for event in found["events"]] == ["trip", "dog.jpg", "dog.jpg"]
    assert found["events"][1]["detail"] == {"revision_id": file["revision_id"]}
    assert not found["has_more"]
    assert found["backoff_s"] is None
    again = await read(account, cursor=found["cursor"])
    assert (again["events"], again["cursor"]) == ([], found["cursor"])


async def test_read_with_a_limit_returns_pages_without_gaps(account: Account) -> None:
    cursor = await cursor_of(account)
    ids = [await make_folder(account, f"/folder {n}") for n in range(5)]
    seen, more = [], True
    while more:
        found = await read(account, cursor=cursor, limit=2)
        seen += [event["file_id"] for event in found["events"]]
        cursor, more = found["cursor"], found["has_more"]
        assert len(found["events"]) <= 2
    assert seen == ids


async def test_read_without_a_start_begins_now(account: Account) -> None:
    await make_folder(account, "/before")
    found = await read(account)
    assert found["events"] == []
    after = await make_folder(account, "/after")
    assert kinds_and_files(await read(account, cursor=found["cursor"])) == [("file.created", after)]


async def test_read_since_a_time_begins_with_the_first_event_of_it(account: Account) -> None:
    before = await make_folder(account, "/before")
    at = (await read(account, since="2000-01-01T00:00:00Z"))["events"][-1]["at"]
    after = await make_folder(account, "/after")
    assert kinds_and_files(await read(account, since=at))[0] == ("file.created", before)
    assert kinds_and_files(await read(account, since="2000-01-01T00:00:00Z"))[-1] == ("file.created", after)
    assert kinds_and_files(await read(account, since="2999-01-01T00:00:00+02:00")) == []


async def test_event_of_a_trashed_file_has_a_kind_and_no_file(account: Account) -> None:
    cursor = await cursor_of(account)
    file = await upload_file(account, b"gone", "gone.txt")
    await account.client.delete(f"/v1/files/{file['id']}")
    found = await read(account, cursor=cursor)
    assert [(event["kind"], event["file"], event["detail"]) for event in found["events"]] == [
        ("file.created", None, {}),
        ("file.trashed", None, {}),
    ]


async def test_cursor_that_is_forged_or_of_another_user_is_invalid(register: Register) -> None:
    mine, other = await register(), await register()
    cursor = await cursor_of(mine)
    forged = [
        await cursor_of(other),
        cursor[:-1] + ("A" if cursor[-1] != "A" else "B"),
        "A" * 32,
        "",
        "%",
        "é",
        cursor[:16],
        cursor + cursor,
    ]
    for one in forged:
        for path in ("/v1/events", "/v1/events/stream"):
            assert problem(await mine.client.get(path, params={"cursor": one})) == (422, "invalid-cursor"), one
    last = {"Last-Event-ID": await cursor_of(other)}
    assert problem(await mine.client.get("/v1/events/stream", headers=last)) == (422, "invalid-cursor")
    both = {"cursor": cursor, "since": "2026-01-01T00:00:00Z"}
    assert problem(await mine.client.get("/v1/events", params=both)) == (422, "invalid-request")
    for wrong in ({"limit": 0}, {"limit": 1001}, {"wait_s": 91}, {"wait_s": -1}, {"other": 1}):
        assert problem(await mine.client.get("/v1/events", params=wrong)) == (422, "invalid-request")


async def test_read_from_before_the_retention_is_expired(account: Account, server: RunningServer, db: Db) -> None:
    beginning = await cursor_of(account)
    for name in ("one", "two"):
        await make_folder(account, f"/{name}")
    later = await cursor_of(account)
    await make_folder(account, "/three")
    me = (await account.me())["id"]
    age = text(
        "UPDATE events SET created_at = created_at - interval '40 days' WHERE recipient_id = :me AND seq IN (1, 2)"
    )
    async with db.begin() as tx:
        await tx.execute(age, {"me": me})
    await apply_retention(Services(db, server.store, server.settings))
    assert problem(await account.client.get("/v1/events", params={"cursor": beginning})) == (410, "cursor-expired")
    since = {"since": "2000-01-01T00:00:00Z"}
    assert problem(await account.client.get("/v1/events", params=since)) == (410, "cursor-expired")
    assert len(kinds_and_files(await read(account, cursor=later))) == 1


async def test_cursor_from_before_a_restore_of_the_database_is_expired(account: Account, db: Db) -> None:
    await make_folder(account, "/one")
    kept = await cursor_of(account)
    await make_folder(account, "/two")
    await make_folder(account, "/three")
    undone = await read(account, cursor=kept, limit=1), await read(account, cursor=kept)
    undone_cursors = [page["cursor"] for page in undone] + [await cursor_of(account)]
    since = {"since": "2100-01-01T00:00:00Z"}
    undone_cursors.append((await account.client.get("/v1/events", params=since)).raise_for_status().json()["cursor"])
    me = (await account.me())["id"]
    async with db.begin() as tx:
        for older in (
            "DELETE FROM events WHERE recipient_id = :me AND seq > 1",
            "DELETE FROM outbox WHERE aggregateid = :me AND seq > 1",
            "UPDATE users SET journal_seq = 1 WHERE id = :me",
        ):
            await tx.execute(text(older), {"me": me})
    for name in ("before", "2", "3", "4"):  # the journal is shorter than the cursors, as long, and longer
        if name != "before":
            await make_folder(account, f"/{name}")
        for cursor in undone_cursors:
            for path in ("/v1/events", "/v1/events/stream"):
                assert problem(await account.client.get(path, params={"cursor": cursor})) == (410, "cursor-expired")
    assert len(kinds_and_files(await read(account, cursor=kept))) == 3
    async with db.begin() as tx:  # other tests compare complete journals with the tree
        await tx.execute(text("DELETE FROM events WHERE recipient_id = :me AND seq = 1"), {"me": me})


async def test_retention_of_a_journal_leaves_no_gap(
    account: Account, server: RunningServer, db: Db, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An old event behind a young one stays: it is of a long transaction, with an early time."""
    monkeypatch.setattr(retain, "ROWS_PER_TRANSACTION", 2)
    for n in range(7):
        await make_folder(account, f"/{n}")
    me = (await account.me())["id"]
    age = text("UPDATE events SET created_at = now() - interval '40 days' WHERE recipient_id = :me AND seq <> 6")
    async with db.begin() as tx:
        await tx.execute(age, {"me": me})
    await apply_retention(Services(db, server.store, server.settings))
    left = text("SELECT seq FROM events WHERE recipient_id = :me ORDER BY seq")
    async with db.read() as tx:
        assert (await tx.execute(left, {"me": me})).scalars().all() == [6, 7]


async def test_retention_of_deliveries_keeps_young_and_pending_ones(
    account: Account, server: RunningServer, db: Db
) -> None:
    me, webhook_id = uuid.UUID((await account.me())["id"]), new_id()
    async with db.begin() as tx:
        await tx.execute(
            text("INSERT INTO webhooks (id, user_id, url, secret, kinds) VALUES (:id, :me, 'https://x', '', '{}')"),
            {"id": webhook_id, "me": me},
        )
        for n, state in enumerate(("pending", "delivered", "failed")):
            for days in (1, 8):
                await tx.execute(
                    text(
                        "INSERT INTO deliveries (id, webhook_id, event_id, kind, node_id, body, state, created_at) "
                        "VALUES (:id, :webhook_id, :id, :kind, :id, '', :state, now() - :days * interval '1 day')"
                    ),
                    {
                        "id": first_id_at(datetime.now(UTC) - timedelta(days=days, seconds=n)),
                        "webhook_id": webhook_id,
                        "kind": f"{days}",
                        "state": state,
                        "days": days,
                    },
                )
    await apply_retention(Services(db, server.store, server.settings))
    left = text("SELECT kind, state FROM deliveries WHERE webhook_id = :id ORDER BY kind, state")
    async with db.begin() as tx:
        rows = (await tx.execute(left, {"id": webhook_id})).all()
        await tx.execute(text("DELETE FROM webhooks WHERE id = :id"), {"id": webhook_id})
    assert [tuple(row) for row in rows] == [("1", "delivered"), ("1", "failed"), ("1", "pending"), ("8", "pending")]


# Other recipients

_COPY = text("""
    WITH counter AS (UPDATE users SET journal_seq = journal_seq + 1 WHERE id = :to RETURNING journal_seq)
    INSERT INTO events (recipient_id, seq, id, kind, owner_id, node_id, payload)
    SELECT :to, journal_seq, o.id, o.type, o.aggregateid, CAST(o.payload->>'node_id' AS uuid), o.payload - 'node_id'
    FROM counter, outbox o WHERE o.id = :id
""")


async def carry(db: Db, owner: Account, to: Account) -> None:
    """Copy the owner's changes from the outbox to a recipient's journal, in order, as the relay does."""
    ids = {"owner": (await owner.me())["id"], "to": (await to.me())["id"]}
    waiting = text(
        "SELECT id FROM outbox WHERE aggregateid = :owner AND CAST(:to AS uuid) = ANY(recipients) ORDER BY seq"
    )
    already = text("SELECT id FROM events WHERE recipient_id = :to")
    async with db.begin() as tx:
        await tx.execute(text("SELECT FROM users WHERE id = :to FOR UPDATE"), ids)
        there = set((await tx.execute(already, ids)).scalars())
        for event_id in (await tx.execute(waiting, ids)).scalars().all():
            if event_id not in there:
                await tx.execute(_COPY, ids | {"id": event_id})


async def share(owner: Account, node_id: str, to: Account) -> str:
    """Share by account, which needs no verified address."""
    body = {"user_id": (await to.me())["id"], "role": "viewer"}
    made = (await owner.client.post(f"/v1/files/{node_id}/grants", json=body)).raise_for_status().json()
    grant_id: str = made["id"]
    return grant_id


async def test_event_of_a_shared_file_shows_the_path_below_the_share(register: Register, db: Db) -> None:
    owner, guest = await register(), await register()
    folder_id = await make_folder(owner, "/above/shared")
    await share(owner, folder_id, guest)
    file = await upload_file(owner, b"1", "a.txt", destination={"parent_id": folder_id})
    await carry(db, owner, guest)
    found = await read(guest, since="2000-01-01T00:00:00Z")
    assert kinds_and_files(found) == [("share.granted", folder_id), ("file.created", file["id"])]
    granted, created = found["events"]
    assert granted["detail"]["role"] == "viewer"
    assert (created["file"]["path"], created["file"]["role"]) == ("/shared/a.txt", "viewer")
    assert "above" not in json.dumps(found)


async def test_read_after_a_revoke_shows_only_the_removal(register: Register, db: Db) -> None:
    owner, guest = await register(), await register()
    folder_id = await make_folder(owner, "/shared")
    grant_id = await share(owner, folder_id, guest)
    await carry(db, owner, guest)
    cursor = await cursor_of(guest)
    # Already in the guest's journal, but unread when the share ends.
    file = await upload_file(owner, b"secret", "secret.txt", destination={"parent_id": folder_id})
    await owner.client.patch(f"/v1/files/{file['id']}", json={"name": "renamed.txt"})
    await carry(db, owner, guest)
    (await owner.client.delete(f"/v1/files/{folder_id}/grants/{grant_id}")).raise_for_status()
    later = await upload_file(owner, b"later", "later.txt", destination={"parent_id": folder_id})
    await owner.client.delete(f"/v1/files/{later['id']}")
    await carry(db, owner, guest)
    found = await read(guest, cursor=cursor)
    assert [(event["kind"], event["file_id"], event["file"], event["detail"]) for event in found["events"]] == [
        ("share.revoked", folder_id, None, {})
    ]
    assert not (await read(guest, cursor=found["cursor"]))["events"]


async def test_event_of_a_move_out_of_a_share_shows_only_the_id(register: Register, db: Db) -> None:
    owner, guest = await register(), await register()
    folder_id = await make_folder(owner, "/shared")
    await share(owner, folder_id, guest)
    file = await upload_file(owner, b"1", "a.txt", destination={"parent_id": folder_id})
    await carry(db, owner, guest)
    cursor = await cursor_of(guest)
    (await owner.client.patch(f"/v1/files/{file['id']}", json={"parent_path": "/"})).raise_for_status()
    await owner.client.patch(f"/v1/files/{file['id']}", json={"name": "private.txt"})
    await carry(db, owner, guest)
    found = await read(guest, cursor=cursor)
    assert [(event["kind"], event["file"]) for event in found["events"]] == [("file.moved", None)]
    assert "private" not in json.dumps(found)


async def test_trash_and_restore_above_a_share_reach_its_recipients(register: Register, db: Db) -> None:
    owner, guest = await register(), await register()
    folder_id = await make_folder(owner, "/above/shared")
    above_id = await make_folder(owner, "/above")
    await share(owner, folder_id, guest)
    await carry(db, owner, guest)
    cursor = await cursor_of(guest)
    (await owner.client.delete(f"/v1/files/{above_id}")).raise_for_status()
    await carry(db, owner, guest)
    gone = await read(guest, cursor=cursor)
    (await owner.client.post(f"/v1/files/{above_id}/restore", json={})).raise_for_status()
    await carry(db, owner, guest)
    back = await read(guest, cursor=gone["cursor"])
    assert kinds_and_files(gone) == kinds_and_files(back) == [("file.moved", folder_id)]
    assert gone["events"][0]["file"] is None
    assert back["events"][0]["file"]["path"] == "/shared"


# Waiting


async def test_poll_is_answered_by_the_next_event(server: RunningServer, account: Account) -> None:
    async with polling(server, account) as poll:
        folder_id = await make_folder(account, "/new")
        found = (await poll).json()
    assert kinds_and_files(found) == [("file.created", folder_id)]
    assert wakeup_of(server).waiting == 0


async def test_poll_with_events_to_read_does_not_wait(server: RunningServer, account: Account) -> None:
    cursor = await cursor_of(account)
    await make_folder(account, "/new")
    assert len((await read(account, cursor=cursor, wait_s=90))["events"]) == 1


async def test_poll_without_an_event_ends_in_time(server: RunningServer, account: Account) -> None:
    cursor = await cursor_of(account)
    found = await read(account, cursor=cursor, wait_s=0.05)
    assert (found["events"], found["cursor"], found["has_more"]) == ([], cursor, False)
    assert wakeup_of(server).waiting == 0


async def test_poll_is_not_woken_by_events_of_others(server: RunningServer, register: Register) -> None:
    one, other = await register(), await register()
    async with polling(server, one) as poll:
        await make_folder(other, "/new")
        await make_folder(one, "/mine")
        assert len((await poll).json()["events"]) == 1


async def test_poll_sees_an_event_between_its_read_and_its_wait(
    server: RunningServer, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The change is made after the poll has read an empty page and before it waits."""
    read_next = JournalResponse._read_next
    changed: list[str] = []

    async def read_and_change(self: JournalResponse) -> FeedPage:
        page = await read_next(self)
        if not changed:
            changed.append(await make_folder(account, "/in between"))
        return page

    monkeypatch.setattr(JournalResponse, "_read_next", read_and_change)
    found = await read(account, wait_s=60)
    assert [event["file_id"] for event in found["events"]] == changed


async def test_waiting_polls_hold_no_connection(server: RunningServer, account: Account) -> None:
    async with contextlib.AsyncExitStack() as polls:
        for _ in range(server.settings.database.pool_size + server.settings.database.pool_overflow + 1):
            await polls.enter_async_context(polling(server, account))
        assert server.db._engine.pool.checkedout() == 0  # type: ignore[attr-defined]
        assert (await account.client.get("/v1/me")).status_code == 200
    await until_waiting(server, 0)


@pytest.mark.parametrize("how", ["signed out", "disabled", "token revoked"])
async def test_poll_of_a_session_that_ends_is_401(server: RunningServer, register: Register, db: Db, how: str) -> None:
    account, writer = await register(), None
    token: dict[str, Any] = {}
    if how == "token revoked":
        body = {"name": "t", "scopes": ["files:read"]}
        token = (await account.client.post("/v1/me/tokens", json=body)).raise_for_status().json()
        bearer = {"Authorization": f"Bearer {token['token']}"}
        writer = Account(account.email, "", {}, httpx2.AsyncClient(base_url=server.url, headers=bearer, timeout=60))
    reader = writer or account
    me = (await account.me())["id"]
    async with polling(server, reader) as poll:
        if how == "signed out":
            async with db.begin() as tx:
                await tx.execute(text("UPDATE sessions SET revoked_at = now() WHERE user_id = :me"), {"me": me})
        elif how == "disabled":
            async with db.begin() as tx:
                await tx.execute(text("UPDATE users SET disabled_at = now() WHERE id = :me"), {"me": me})
        else:
            (await account.client.delete(f"/v1/me/tokens/{token['id']}")).raise_for_status()
        wakeup_of(server).notify([uuid.UUID(me)])
        assert problem(await poll) == (401, "unauthenticated")
    if writer:
        await writer.client.aclose()


async def test_poll_of_a_disconnected_client_is_removed(server: RunningServer, account: Account) -> None:
    async with polling(server, account):
        assert wakeup_of(server).waiting == 1
    await until_waiting(server, 0)
    assert not wakeup_of(server)._waiters


async def test_requests_beyond_the_limit_of_waiters_get_a_backoff(postgres_url: str, s3_config: Any) -> None:
    settings = make_settings(postgres_url, s3_config, events={"max_waiting": 1})
    async with running_server(settings) as server:
        account = await register_account(server.url)
        async with account.client:
            async with polling(server, account):
                found = await read(account, wait_s=60)
                assert 5 <= found["backoff_s"] <= 15
                assert found["events"] == []
                refused = await account.client.get("/v1/events/stream")
                assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
                assert 5 <= int(refused.headers["retry-after"]) <= 15
            await until_waiting(server, 0)


async def test_shutdown_answers_all_waiting_requests(postgres_url: str, s3_config: Any) -> None:
    async with contextlib.AsyncExitStack() as clients:
        async with running_server(make_settings(postgres_url, s3_config)) as server:
            account = await register_account(server.url)
            await clients.enter_async_context(account.client)
            poll = asyncio.create_task(account.client.get("/v1/events", params={"wait_s": 90}))
            stream = asyncio.create_task(account.client.get("/v1/events/stream"))
            await until_waiting(server, 2)
        # After 30 seconds uvicorn would cancel hanging requests: no answer, or a partial one.
        answered = (await poll).raise_for_status().json()
        assert answered["events"] == []
        assert (await stream).raise_for_status().text.startswith("retry: ")


# Other processes


@contextlib.asynccontextmanager
async def two_servers(postgres_url: str, s3_config: Any, poll_interval_s: float) -> AsyncIterator[Any]:
    """Two API servers on one database, like two processes, and an account signed in at both."""
    settings = make_settings(postgres_url, s3_config, events={"poll_interval_s": poll_interval_s})
    async with running_server(settings) as one, running_server(settings) as other:
        account = await register_account(one.url)
        there = httpx2.AsyncClient(base_url=other.url, headers=account.client.headers, timeout=60)
        async with account.client, there:
            await until_listening(postgres_url, at_least=2)
            yield one, account, Account(account.email, account.password, account.tokens, there)


async def listeners(postgres_url: str) -> list[int]:
    raw = await asyncpg.connect(postgres_url.replace("+asyncpg", ""))
    try:
        found = (
            "SELECT pid FROM pg_stat_activity WHERE application_name = $1 AND query LIKE 'LISTEN%' AND state = 'idle'"
        )
        return [row["pid"] for row in await raw.fetch(found, LISTENER)]
    finally:
        await raw.close()


async def until_listening(postgres_url: str, at_least: int, but: tuple[int, ...] = ()) -> list[int]:
    async with asyncio.timeout(30):
        while len(set(pids := await listeners(postgres_url)) - set(but)) < at_least:  # noqa: ASYNC110 - Postgres signals nothing
            await asyncio.sleep(0.02)
    return pids


async def test_change_in_another_process_wakes_a_poll(postgres_url: str, s3_config: Any) -> None:
    servers = two_servers(postgres_url, s3_config, poll_interval_s=3600)
    async with servers as (one, here, there), polling(one, here) as poll:
        folder_id = await make_folder(there, "/elsewhere")
        assert kinds_and_files((await poll).json()) == [("file.created", folder_id)]


async def test_listener_after_a_disconnect_reconnects_and_misses_nothing(postgres_url: str, s3_config: Any) -> None:
    """Events of the time without a listener are found after it reconnects; the periodic comparison is off."""
    async with two_servers(postgres_url, s3_config, poll_interval_s=3600) as (one, here, there):
        raw = await asyncpg.connect(postgres_url.replace("+asyncpg", ""))
        async with polling(one, here) as poll:
            cut = await listeners(postgres_url)
            for pid in cut:
                await raw.execute("SELECT pg_terminate_backend($1)", pid)
            folder_id = await make_folder(there, "/meanwhile")
            assert kinds_and_files((await poll).json()) == [("file.created", folder_id)]
        await until_listening(postgres_url, at_least=len(cut), but=tuple(cut))
        async with polling(one, here) as poll:
            folder_id = await make_folder(there, "/afterwards")
            assert kinds_and_files((await poll).json()) == [("file.created", folder_id)]
        await raw.close()


async def test_event_without_a_notify_is_found_by_the_comparison(postgres_url: str, s3_config: Any) -> None:
    """A process that dies between its commit and its NOTIFY leaves such an event."""
    settings = make_settings(postgres_url, s3_config, events={"poll_interval_s": 0.05})
    async with running_server(settings) as server:
        account = await register_account(server.url)
        async with account.client:
            folder_id = await make_folder(account, "/a")
            me = (await account.me())["id"]
            async with polling(server, account) as poll:
                raw = await asyncpg.connect(postgres_url.replace("+asyncpg", ""))
                await raw.execute(
                    "WITH n AS (UPDATE users SET journal_seq = journal_seq + 1 WHERE id = $1 RETURNING journal_seq) "
                    "INSERT INTO events (recipient_id, seq, id, kind, owner_id, node_id, payload) "
                    "SELECT $1, journal_seq, gen_random_uuid(), 'file.verified', $1, $2, '{}' FROM n",
                    uuid.UUID(me),
                    uuid.UUID(folder_id),
                )
                await raw.close()
                assert kinds_and_files((await poll).json()) == [("file.verified", folder_id)]


async def test_wait_for_change_returns_to_all_waiters(server: RunningServer, account: Account) -> None:
    """As in the worker: a change during its work ends the next wait at once."""
    wakeup = wakeup_of(server)
    before = await wakeup.wait_for_change(0)
    waiting = [asyncio.create_task(wakeup.wait_for_change(60)) for _ in range(2)]
    await asyncio.sleep(0)
    await make_folder(account, "/anything")
    assert all(number > before for number in await asyncio.gather(*waiting))
    assert await wakeup.wait_for_change(60, after=before) > before


# Server-sent events


async def messages(lines: AsyncIterator[str]) -> AsyncGenerator[dict[str, str], None]:
    """Parse a stream as a browser does, with comments as messages."""
    fields: dict[str, str] = {}
    async for line in lines:
        if not line:
            if fields:
                yield fields
            fields = {}
        else:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")


@contextlib.asynccontextmanager
async def streaming(account: Account, **headers: str) -> AsyncIterator[tuple[httpx2.Response, AsyncIterator[Any]]]:
    async with account.client.stream("GET", "/v1/events/stream", headers=headers) as answer:
        assert answer.status_code == 200
        lines = messages(answer.aiter_lines())
        assert "retry" in await anext(lines)
        yield answer, lines
        await lines.aclose()


async def test_stream_sends_events_and_resumes_after_the_last_id(server: RunningServer, account: Account) -> None:
    async with streaming(account) as (answer, stream):
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-accel-buffering"] == "no"
        first = await make_folder(account, "/first")
        message = await anext(stream)
        assert message["event"] == "file.created"
        assert json.loads(message["data"])["file_id"] == first
        assert json.loads(message["data"])["file"]["name"] == "first"
    await until_waiting(server, 0)
    second = await make_folder(account, "/second")
    async with streaming(account, **{"Last-Event-ID": message["id"]}) as (_, stream):
        assert json.loads((await anext(stream))["data"])["file_id"] == second
    # The ids are cursors of the poll, too.
    assert kinds_and_files(await read(account, cursor=message["id"])) == [("file.created", second)]
    await until_waiting(server, 0)


async def test_idle_stream_sends_heartbeats_and_ends_with_the_session(
    server: RunningServer, account: Account, db: Db, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_route, "HEARTBEAT_S", 0.02)
    monkeypatch.setattr(stream_route, "AUTHENTICATE_AGAIN_S", 0.1)
    me = (await account.me())["id"]
    async with streaming(account) as (_, stream):
        assert await anext(stream) == {"": ""}
        async with db.begin() as tx:
            await tx.execute(text("UPDATE sessions SET revoked_at = now() WHERE user_id = :me"), {"me": me})
        async with asyncio.timeout(30):
            last = [message async for message in stream if message != {"": ""}]
    assert [message["event"] for message in last] == ["end"]
    assert json.loads(last[0]["data"])["code"] == "unauthenticated"
    await until_waiting(server, 0)


@pytest.mark.parametrize("way", ["session", "other-sessions", "sign-out", "token"])
async def test_stream_whose_session_or_token_is_ended_elsewhere_ends_at_once(
    server: RunningServer, account: Account, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr(stream_route, "AUTHENTICATE_AGAIN_S", 3600.0)
    form = {"grant_type": "password", "username": account.email, "password": account.password}
    other = (await account.client.post("/v1/auth/token", data=form)).json()
    token = other["access_token"]
    if way == "token":
        token = (await account.client.post("/v1/me/tokens", json={"name": "sync", "scopes": ["files:read"]})).json()
        token_id, token = token["id"], token["token"]
    async with streaming(account, Authorization=f"Bearer {token}") as (_, stream):
        await until_waiting(server, 1)
        if way == "session":
            sessions = (await account.client.get("/v1/me/sessions")).json()["items"]
            (ended,) = [session["id"] for session in sessions if not session["is_current"]]
            answer = await account.client.delete(f"/v1/me/sessions/{ended}")
        elif way == "other-sessions":
            answer = await account.client.delete("/v1/me/sessions")
        elif way == "sign-out":
            answer = await account.client.post("/v1/auth/logout", json={"refresh_token": other["refresh_token"]})
        else:
            answer = await account.client.delete(f"/v1/me/tokens/{token_id}")
        assert answer.status_code == 204
        async with asyncio.timeout(60):
            last = [message async for message in stream if message != {"": ""}]
    assert [message["event"] for message in last] == ["end"]
    assert json.loads(last[0]["data"])["code"] == "unauthenticated"
    await until_waiting(server, 0)


async def test_stream_of_an_ended_session_sends_no_event(server: RunningServer, register: Register, db: Db) -> None:
    account, other = await register(), await register()
    me = (await account.me())["id"]
    folder_id = await make_folder(other, "/shared")
    await share(other, folder_id, account)
    async with streaming(account) as (_, stream):
        async with db.begin() as tx:
            await tx.execute(text("UPDATE sessions SET revoked_at = now() WHERE user_id = :me"), {"me": me})
        await make_folder(other, "/shared/secret")
        await carry_by_id(db, other, me)
        wakeup_of(server).notify([uuid.UUID(me)])
        assert [message["event"] async for message in stream] == ["end"]


async def carry_by_id(db: Db, owner: Account, to: str) -> None:
    """Do what `carry` does, for a recipient who is signed out."""
    ids = {"owner": (await owner.me())["id"], "to": to}
    waiting = text(
        "SELECT id FROM outbox WHERE aggregateid = :owner AND CAST(:to AS uuid) = ANY(recipients) ORDER BY seq"
    )
    async with db.begin() as tx:
        for event_id in (await tx.execute(waiting, ids)).scalars().all():
            await tx.execute(_COPY, ids | {"id": event_id})
