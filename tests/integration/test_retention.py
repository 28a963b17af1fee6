"""Job `retain`: every table that grows with use loses the rows that no answer needs any more, and no others."""

import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from dropbox_api.db import Db, first_id_at, new_id
from dropbox_api.models import Base
from dropbox_api.storage.s3 import S3Config
from dropbox_api.workers import retain
from dropbox_api.workers.retain import apply_retention
from dropbox_api.workers.verify import verify_next_blob
from tests.support.server import (
    MULTI,
    Account,
    RunningServer,
    complete,
    download,
    problem,
    run_until_idle,
    send,
    separate_server,
    start,
    upload_file,
)

pytestmark = pytest.mark.usefixtures("invariants_hold")


@pytest.fixture(scope="module")
async def server(postgres_url: str, s3_config: S3Config) -> AsyncIterator[RunningServer]:
    """A server with its own database: `retain` reads whole tables."""
    async with separate_server(postgres_url, s3_config) as running:
        yield running


def make_old_id(days: float) -> uuid.UUID:
    """Return an id made this many days ago."""
    age = first_id_at(datetime.now(UTC) - timedelta(days=days)).int & ~(2**80 - 1)
    return uuid.UUID(int=age | new_id().int & (2**80 - 1))


async def execute(db: Db, statement: str, **bound: Any) -> Any:
    async with db.begin() as tx:
        result = await tx.execute(text(statement), bound)
        return result.all() if result.returns_rows else None


async def upload(account: Account, **more: Any) -> dict[str, Any]:
    """Upload new content and return its completed session."""
    data = uuid.uuid4().bytes
    session = await start(account, data, uuid.uuid4().hex, **more)
    await send(account, session, data)
    (await complete(account, session["id"])).raise_for_status()
    return session


async def retain_no_sessions(server: RunningServer) -> None:
    uploads = server.settings.uploads.model_copy(update={"retention_s": 0})
    await apply_retention(replace(server.services, settings=server.settings.model_copy(update={"uploads": uploads})))


async def count_rows(db: Db, session: dict[str, Any]) -> list[int]:
    """Return how many rows of the session each table has."""
    places = (("uploads", "id"), ("upload_chunks", "upload_id"), ("upload_destinations", "upload_id"))
    bound = {"id": uuid.UUID(session["id"])}
    return [len(await execute(db, f"SELECT 1 FROM {table} WHERE {key} = :id", **bound)) for table, key in places]


async def test_ended_session_is_answered_until_its_retention_ends(
    account: Account, server: RunningServer, db: Db
) -> None:
    session = await upload(account)
    address = f"/v1/uploads/{session['id']}"
    await apply_retention(server.services)
    assert (await account.client.get(address)).json()["state"] == "completed"
    file = (await complete(account, session["id"])).raise_for_status().json()["file"]
    assert await count_rows(db, session) == [1, 1, 1]
    await retain_no_sessions(server)
    assert await count_rows(db, session) == [0, 0, 0]
    assert problem(await account.client.get(address)) == (404, "not-found")
    assert problem(await complete(account, session["id"])) == (404, "not-found")
    assert len(await download(account, file["id"])) == 16


@pytest.mark.parametrize(
    "need", ["leftover = true", "state = 'active', ended_at = NULL", "ended_at = now() + interval '1 minute'"]
)
async def test_session_in_need_outlives_its_retention(
    account: Account, server: RunningServer, db: Db, need: str
) -> None:
    session = await upload(account)
    bound = {"id": uuid.UUID(session["id"])}
    await execute(db, f"UPDATE uploads SET {need} WHERE id = :id", **bound)
    await retain_no_sessions(server)
    assert await count_rows(db, session) == [1, 1, 1]
    ended = "state = 'completed', leftover = false, ended_at = now()"
    await execute(db, f"UPDATE uploads SET {ended} WHERE id = :id", **bound)
    await retain_no_sessions(server)
    assert await count_rows(db, session) == [0, 0, 0]


async def test_session_of_unverified_content_outlives_its_retention(
    account: Account, server: RunningServer, db: Db
) -> None:
    """Until then it tells whether another account sent the content, and so which of two equal blobs is kept."""
    session = await upload(account, **MULTI)
    await retain_no_sessions(server)
    assert await count_rows(db, session) == [1, 1, 1]
    await run_until_idle(verify_next_blob, server.services)
    await retain_no_sessions(server)
    assert await count_rows(db, session) == [0, 0, 0]


async def test_sessions_beyond_one_transaction_are_all_deleted(
    account: Account, server: RunningServer, db: Db, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retain, "ROWS_PER_TRANSACTION", 2)
    sessions = [await upload(account) for _ in range(5)]
    await retain_no_sessions(server)
    assert [await count_rows(db, session) for session in sessions] == [[0, 0, 0]] * 5


async def test_activity_beyond_its_retention_is_deleted(account: Account, server: RunningServer, db: Db) -> None:
    file = await upload_file(account, b"seen", "seen")
    for days in (364, 366):
        await execute(
            db,
            "INSERT INTO audit_log (id, owner_id, node_id, action, detail) SELECT :id, owner_id, id, 'downloaded',"
            " jsonb_build_object('days', CAST(:days AS int)) FROM nodes WHERE id = :node",
            id=make_old_id(days),
            days=days,
            node=uuid.UUID(file["id"]),
        )
    await apply_retention(server.services)
    listed = (await account.client.get(f"/v1/files/{file['id']}/activity")).raise_for_status().json()["items"]
    assert [(item["action"], item["detail"].get("days")) for item in listed] == [("created", None), ("downloaded", 364)]


async def test_tombstones_are_kept_as_long_as_the_journal(
    account: Account, server: RunningServer, db: Db, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retain, "ROWS_PER_TRANSACTION", 2)
    me = uuid.UUID((await account.me())["id"])
    ids = {days: [str(uuid.uuid4()) for _ in range(3)] for days in (29, 31)}
    for days, node_ids in ids.items():
        for node_id in node_ids:
            await execute(
                db,
                "INSERT INTO tombstones (owner_id, node_id, deleted_at)"
                " VALUES (:me, :id, now() - CAST(:days AS int) * interval '1 day')",
                me=me,
                id=uuid.UUID(node_id),
                days=days,
            )
    await apply_retention(server.services)
    answer = await account.client.post("/v1/files/lookup", json={"ids": ids[29] + ids[31]})
    states = [item["state"] for item in answer.raise_for_status().json()["items"]]
    assert states == ["deleted"] * 3 + ["unknown"] * 3


async def test_dead_credentials_and_links_are_deleted_and_live_ones_work(
    account: Account, server: RunningServer, db: Db
) -> None:
    me = uuid.UUID((await account.me())["id"])
    file = await upload_file(account, b"shared", "shared")
    links = [
        (await account.client.post(f"/v1/files/{file['id']}/links", json={"mode": "view"})).raise_for_status().json()
        for _ in range(2)
    ]
    (await account.client.delete(f"/v1/links/{links[0]['id']}")).raise_for_status()
    await execute(
        db,
        "INSERT INTO sessions (id, user_id, refresh_hash, expires_at) VALUES (:id, :me, '', now() - interval '1 s')",
        id=new_id(),
        me=me,
    )
    for n, (revoked, expires) in enumerate((("now()", "NULL"), ("NULL", "now() - interval '1 s'"), ("NULL", "NULL"))):
        await execute(
            db,
            "INSERT INTO api_tokens (id, user_id, name, token_hash, scopes, revoked_at, expires_at)"
            f" VALUES (:id, :me, 'token {n}', :hash, '{{}}', {revoked}, {expires})",
            id=new_id(),
            me=me,
            hash=uuid.uuid4().bytes,
        )
    for age in ("- interval '1 s'", "+ interval '1 hour'"):
        await execute(
            db,
            "INSERT INTO mail_tokens (token_hash, user_id, purpose, email, expires_at)"
            f" VALUES (:hash, :me, 'reset', 'x', now() {age})",
            hash=uuid.uuid4().bytes,
            me=me,
        )
    await apply_retention(server.services)
    left = {
        table: len(await execute(db, f"SELECT 1 FROM {table} WHERE {owner} = :me", me=me))
        for table, owner in (
            ("sessions", "user_id"),
            ("api_tokens", "user_id"),
            ("mail_tokens", "user_id"),
            ("links", "owner_id"),
        )
    }
    assert left == {"sessions": 1, "api_tokens": 1, "mail_tokens": 1, "links": 1}
    assert (await account.client.get("/v1/me")).status_code == 200
    assert [link["id"] for link in (await account.client.get(f"/v1/files/{file['id']}/links")).json()["items"]] == [
        links[1]["id"]
    ]


LIMITS = {
    "passkeys": "50 an account",
    "users": "an account is never deleted",
    "oidc_identities": "one for each account and provider",
    "recovery_codes": "10 for each account",
    "webhooks": "`hooks.per_user`, until their user deletes them",
    "grants": "until their owner revokes them, or the node is purged",
    "instance": "one row",
    "job_runs": "one for each job",
    "nodes": "`quota_nodes`; trash is purged",
    "blobs": "`quota_bytes`; collected without a revision",
    "blob_chunks": "with their blob",
    "thumbnails": "with their blob",
    "chunk_reuses": "with their session; deleted when it ends",
    "copied_blobs": "with their copy",
    "upload_chunks": "with their session",
    "upload_destinations": "with their session",
    "relay_leases": "deleted when they end",
    "storage_reports": "one row an account",
    "outbox": "emptied by the relay",
    "revisions": "`revisions_keep` and `revisions_keep_s`, by job prune",
    "idempotency_keys": "`idempotency_ttl_s`, by job forget",
}
"""What bounds the tables that `retain` does not shorten."""


def test_every_table_is_shortened_or_bounded() -> None:
    statements = " ".join(str(expiry.delete) for expiry in retain._EXPIRIES) + str(retain._SHORTEN_JOURNAL)
    shortened = {name for name in Base.metadata.tables if f"DELETE FROM {name} " in statements}
    assert shortened | set(LIMITS) == set(Base.metadata.tables)
    assert not shortened & set(LIMITS)


async def test_metrics_show_rows_and_bytes_of_every_table(server: RunningServer, api: Any) -> None:
    shown = (await api.get("/metrics")).text
    for name in Base.metadata.tables:
        assert f'dropbox_table_bytes{{table="{name}"}}' in shown
        assert f'dropbox_table_rows{{table="{name}"}}' in shown
