"""Readers of the journal get every event once and in order, beside many writers and slow transactions.

The order is the order of commits, because a change takes its number under a lock that it holds until it commits.
Orders by id, by time and by sequence lose events: see `test_journal_reader_sees_the_event_that_other_orders_lose`.
"""

import asyncio
import contextlib
import random
import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Any

import asyncpg
import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from dropbox_api import problems
from dropbox_api.db import Db, new_id
from dropbox_api.events import journal
from dropbox_api.events.cursor import Cursors
from dropbox_api.settings import AuthSettings
from tests.conftest import Register
from tests.support.server import Account, RunningServer, problem
from tests.support.sharing import make_folder

WRITERS, CHANGES, READERS = 64, 6, 10

CURSORS = Cursors(AuthSettings())
USER_IDS = st.uuids()
POSITIONS = st.builds(
    journal.JournalPosition, st.integers(0, 2**63 - 1), st.integers(0, 2**48 - 1), st.sampled_from(["", "5f0c2a9d41be"])
)


@given(USER_IDS, POSITIONS)
def test_cursor_decodes_to_the_position_it_encodes(user_id: uuid.UUID, position: journal.JournalPosition) -> None:
    assert CURSORS.decode(user_id, CURSORS.encode(user_id, position)) == position


@given(USER_IDS, POSITIONS, st.integers(0, 39), st.characters())
def test_altered_cursor_is_invalid(user_id: uuid.UUID, position: journal.JournalPosition, at: int, other: str) -> None:
    cursor = CURSORS.encode(user_id, position)
    changed = cursor[:at] + other + cursor[at + 1 :]
    if changed != cursor:
        with pytest.raises(problems.InvalidCursor):
            CURSORS.decode(user_id, changed)


@given(USER_IDS, POSITIONS)
def test_cursor_in_another_spelling_is_invalid(user_id: uuid.UUID, position: journal.JournalPosition) -> None:
    cursor = CURSORS.encode(user_id, position)
    for other in (cursor.replace("-", "+"), cursor.replace("_", "/"), f"{cursor}====", f"{cursor}\n"):
        if other != cursor:
            with pytest.raises(problems.InvalidCursor):
                CURSORS.decode(user_id, other)


@given(USER_IDS, USER_IDS, POSITIONS)
def test_cursor_of_another_user_or_secret_is_invalid(
    user_id: uuid.UUID, other_id: uuid.UUID, position: journal.JournalPosition
) -> None:
    elsewhere = Cursors(AuthSettings.model_validate({"secret": "another secret of the server, as long"}))
    for cursors, reader_id in ((CURSORS, other_id), (elsewhere, user_id)):
        if (cursors, reader_id) != (CURSORS, user_id):
            with pytest.raises(problems.InvalidCursor):
                cursors.decode(reader_id, CURSORS.encode(user_id, position))


@given(st.text(max_size=60))
def test_arbitrary_text_as_cursor_is_invalid(found: str) -> None:
    with pytest.raises(problems.InvalidCursor):
        CURSORS.decode(uuid.UUID(int=0), found)


async def follow(client: httpx2.AsyncClient, cursor: str, last: asyncio.Event) -> list[dict[str, Any]]:
    """Read from a cursor until a page that was read after `last` was set is the last one."""
    seen: list[dict[str, Any]] = []
    while True:
        is_over = last.is_set()
        query: dict[str, Any] = {"cursor": cursor, "wait_s": 0 if is_over else 0.2, "limit": random.choice([1, 7, 500])}
        found = (await client.get("/v1/events", params=query)).raise_for_status().json()
        seen += found["events"]
        cursor = found["cursor"]
        if is_over and not found["has_more"]:
            return seen


async def write_slowly(db: Db, owner_id: uuid.UUID, node_id: uuid.UUID) -> None:
    """Append an event in a transaction that sleeps before its lock, and between lock and commit."""
    async with db.begin() as tx:
        await tx.execute(text("SELECT 1"))
        await asyncio.sleep(random.uniform(0, 0.03))
        await tx.execute(text("SELECT FROM users WHERE id = :id FOR UPDATE"), {"id": owner_id})
        await journal.append_changes(tx, owner_id, [journal.Change("file.verified", node_id)])
        await asyncio.sleep(random.uniform(0, 0.01))


def replay(seen: Sequence[dict[str, Any]]) -> set[str]:
    """Return the ids of the files that exist after these events."""
    there: set[str] = set()
    for event in seen:
        if event["kind"] in {"file.created", "file.restored"}:
            there.add(event["file_id"])
        elif event["kind"] in {"file.trashed", "file.deleted"}:
            there.discard(event["file_id"])
    return there


async def everything(account: Account) -> set[str]:
    found: set[str] = set()
    query: dict[str, Any] = {"recursive": True, "limit": 1000}
    while True:
        page = (await account.client.get("/v1/files", params=query)).raise_for_status().json()
        found |= {item["id"] for item in page["items"]}
        if not page["next_cursor"]:
            return found
        query["cursor"] = page["next_cursor"]


async def test_readers_beside_64_writers_see_every_event_once_in_order(
    server: RunningServer, register: Register
) -> None:
    """Owners write to their trees, editors to shared trees, and some transactions are long."""
    owners = [await register() for _ in range(4)]
    editors = [await register() for _ in range(4)]
    ids = {account.email: uuid.UUID((await account.me())["id"]) for account in (*owners, *editors)}
    shared = []
    for owner in owners:
        folder_id = await make_folder(owner, "/shared")
        shared.append(folder_id)
        for editor in editors:
            body = {"user_id": str(ids[editor.email]), "role": "editor"}
            (await owner.client.post(f"/v1/files/{folder_id}/grants", json=body)).raise_for_status()
    beginnings = [
        (await owner.client.get("/v1/events", params={"since": "2000-01-01T00:00:00Z"}))
        .raise_for_status()
        .json()["events"]
        for owner in owners
    ]
    starts = [(await owner.client.get("/v1/events/cursor")).json()["cursor"] for owner in owners]

    async def work(number: int) -> None:
        which = number % len(owners)
        owner = owners[which]
        writer = owner if number % 3 else editors[number % len(editors)]
        for step in range(CHANGES):
            if number % 4 == 3:
                await write_slowly(server.db, ids[owner.email], uuid.UUID(shared[which]))
                continue
            made = await writer.client.post(
                "/v1/folders", json={"name": f"{number}-{step}", "parent_id": shared[which]}
            )
            file_id = made.raise_for_status().json()["id"]
            if step % 3 == 1:
                new = {"name": f"{number}-{step} again"}
                (await writer.client.patch(f"/v1/files/{file_id}", json=new)).raise_for_status()
            if step % 3 == 2:
                (await writer.client.delete(f"/v1/files/{file_id}")).raise_for_status()

    last = asyncio.Event()
    readers = [
        asyncio.create_task(follow(owners[n % len(owners)].client, starts[n % len(owners)], last))
        for n in range(READERS)
    ]
    await asyncio.gather(*map(work, range(WRITERS)))
    last.set()
    found = await asyncio.gather(*readers)

    journal = text("SELECT seq, id FROM events WHERE recipient_id = :id ORDER BY seq")
    for which, owner in enumerate(owners):
        async with server.db.read() as tx:
            rows = (await tx.execute(journal, {"id": ids[owner.email]})).all()
        assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
        wanted = [str(row.id) for row in rows][len(beginnings[which]) :]
        assert len(wanted) >= WRITERS // len(owners) * CHANGES
        for number in range(which, READERS, len(owners)):
            assert [event["id"] for event in found[number]] == wanted
        assert replay([*beginnings[which], *found[which]]) == await everything(owner)


@contextlib.asynccontextmanager
async def connected(postgres_url: str) -> AsyncIterator[asyncpg.Connection]:
    raw = await asyncpg.connect(postgres_url.replace("+asyncpg", ""))
    try:
        yield raw
    finally:
        await raw.close()


@pytest.mark.parametrize("order", ["id", "created_at", "sequence"])
async def test_journal_reader_sees_the_event_that_other_orders_lose(
    account: Account, db: Db, postgres_url: str, order: str
) -> None:
    """Why the journal is numbered under a lock: ids, times and sequence numbers are assigned before the commit.

    A slow transaction takes its id (or time, or sequence number); a second one begins later and commits first. A
    reader that continues after the greatest value it has seen never returns to the first one. In the journal, the
    second transaction waits for the lock and gets the later number.
    """
    me = uuid.UUID((await account.me())["id"])
    folder_id = uuid.UUID(await make_folder(account, "/a"))
    cursor = (await account.client.get("/v1/events/cursor")).json()["cursor"]
    table = f"naive_{uuid.uuid4().hex}"
    insert = f"INSERT INTO {table} (id) VALUES ($1)"
    async with connected(postgres_url) as slow, connected(postgres_url) as quick, connected(postgres_url) as reader:
        await reader.execute(
            f"CREATE TABLE {table} (id uuid, created_at timestamptz DEFAULT now(), sequence bigserial)"
        )
        first, second = new_id(), new_id()
        change = journal.Change("file.verified", folder_id)
        has_begun, may_end = asyncio.Event(), asyncio.Event()

        async def change_slowly() -> None:
            async with db.begin() as tx:
                await tx.execute(text("SELECT FROM users WHERE id = :id FOR UPDATE"), {"id": me})
                await journal.append_changes(tx, me, [change])
                has_begun.set()
                await may_end.wait()

        slowly = asyncio.create_task(change_slowly())
        await has_begun.wait()
        transaction = slow.transaction()
        await transaction.start()
        await slow.execute(insert, first)
        await quick.execute(insert, second)
        naive = (
            f"SELECT id, {order} AS key FROM {table} WHERE $1::{{}} IS NULL OR {order} > $1 ORDER BY {order}".format(
                {"id": "uuid", "created_at": "timestamptz", "sequence": "bigint"}[order]
            )
        )
        seen = await reader.fetch(naive, None)
        assert [row["id"] for row in seen] == [second]
        # The journal meanwhile: no commit, so no event; the second change waits for the lock of the first.
        answer = (await account.client.get("/v1/events", params={"cursor": cursor})).json()
        assert answer["events"] == []
        another = asyncio.create_task(make_folder(account, "/b"))

        await transaction.commit()
        may_end.set()
        await slowly
        other_id = await another
        assert await reader.fetch(naive, seen[-1]["key"]) == [], "this reader has lost the first one"
        answer = (await account.client.get("/v1/events", params={"cursor": answer["cursor"]})).json()
        assert [(event["kind"], event["file_id"]) for event in answer["events"]] == [
            ("file.verified", str(folder_id)),
            ("file.created", other_id),
        ]
        await reader.execute(f"DROP TABLE {table}")


async def test_cursor_before_a_gap_in_the_journal_is_expired(account: Account, db: Db) -> None:
    """A gap (a restored backup, a manual change of the database) makes readers list again."""
    cursor = (await account.client.get("/v1/events/cursor")).json()["cursor"]
    for n in range(2):
        await make_folder(account, f"/{n}")
    gap = text(
        "DELETE FROM events WHERE recipient_id = :me AND seq = (SELECT min(seq) FROM events WHERE recipient_id = :me)"
    )
    async with db.begin() as tx:
        await tx.execute(gap, {"me": (await account.me())["id"]})
    assert problem(await account.client.get("/v1/events", params={"cursor": cursor})) == (410, "cursor-expired")
