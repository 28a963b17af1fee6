"""Every statement of every route and job finds its rows by an index.

The statements are recorded while the routes and jobs run, so a new one is checked without being listed here. Postgres
plans them with sequential scans forbidden: one that remains has no index, however few rows the test has. FAULTS=long
(`make plans`) adds 2,000,000 nodes, 200,000 grants and 5,000,000 events, and lets Postgres choose.
"""

import os
from collections.abc import AsyncIterator
from typing import Any

import pytest

from dropbox_api.storage.s3 import S3Config
from dropbox_api.workers.jobs import JOBS
from tests.security.test_matrix import MATRIX, World, world
from tests.support import scale
from tests.support.plans import BIG_TABLES, explain_scans, list_hot_statements, record_statements
from tests.support.server import (
    MULTI,
    RunningServer,
    complete,
    new_address,
    send,
    separate_server,
    sha256,
    start,
    start_body,
    upload_file,
)

__all__ = ["world"]  # a fixture

LONG = os.environ.get("FAULTS") == "long"
MAY_SCAN = {
    "budget_bytes": "scrub sums the sizes of all objects, once per run",
    "DELETE FROM audit_log": "a batch of retain, while it is a large share of the table",
}
"""Statements that may read a filled table, by a part of them, with the reason."""

QUERIES: list[tuple[str, dict[str, Any]]] = [
    *(("/v1/files", {"path": "/above", "order": order, "limit": 1}) for order in ("name", "-size", "modified")),
    *(("/v1/files", {"path": "/above", "kind": kind, "limit": 1}) for kind in ("file", "folder")),
    ("/v1/files", {"path": "/", "recursive": True, "limit": 1}),
    ("/v1/search", {"q": "report"}),
    ("/v1/search", {"q": "x"}),
    ("/v1/files/by-path", {"path": "/above/shared"}),
    ("/v1/uploads", {"state": "active"}),
    ("/v1/events", {"since": "2020-01-01T00:00:00Z"}),
    ("/metrics", {}),
]


@pytest.fixture(scope="module")
async def server(postgres_url: str, s3_config: S3Config) -> AsyncIterator[RunningServer]:
    async with separate_server(postgres_url, s3_config) as running:
        yield running


async def run_batches(world: World) -> None:
    """Send batches of changes and of downloads."""
    place = {"parent_id": world.folder_id}
    file = await upload_file(world.owner, b"batch", "batch", destination=place)
    below = {"op": "create_folder", "name": "batch below", "parent_item": 0}
    operations = [
        {"op": "create_folder", "name": "batch", "on_conflict": "rename", **place},
        below,
        {"op": "copy", "file_id": file["id"], "parent_item": 0},
        {"op": "move", "file_id": file["id"], "parent_item": 1},
        {"op": "trash", "file_id": file["id"]},
        {"op": "restore", "file_id": file["id"]},
    ]
    headers = {"Idempotency-Key": "plans"}
    sent = await world.owner.client.post("/v1/files/batch", json={"operations": operations}, headers=headers)
    made = [item["file"] for item in sent.raise_for_status().json()["items"]]
    folders = [
        {"op": "move", "file_id": made[1]["id"], **place},
        {"op": "trash", "file_id": made[0]["id"], "if_tree": sha256(b"")},
        {"op": "trash", "file_id": made[0]["id"]},
    ]
    (await world.owner.client.post("/v1/files/batch", json={"operations": folders})).raise_for_status()
    items = {"items": [{"file_id": file["id"]}]}
    (await world.owner.client.post("/v1/files/download-batch", json=items)).raise_for_status()


async def run_everything(world: World) -> None:
    """Call every route that an owner may call, send batches, and run every job."""
    for name, row in MATRIX.items():
        if row["kind"] in {"own", "node", "upload"}:
            await world.ask(name, "owner")
    for path, query in QUERIES:
        await world.owner.client.get(path, params=query)
    for editor_or_owner in ("editor", "owner"):
        place = {"parent_id": world.folder_id, "on_conflict": "rename"}
        items = [start_body(f"{editor_or_owner} {n}".encode(), f"{n}", destination=place) for n in range(3)]
        client = world.clients[editor_or_owner]
        started = (await client.post("/v1/uploads/batch", json={"items": items})).raise_for_status().json()["items"]
        ids = [item["upload"]["id"] for item in started]
        (await client.post("/v1/uploads/batch/complete", json={"upload_ids": ids})).raise_for_status()
    await run_batches(world)
    one = await upload_file(world.owner, b"one", "one")
    (await world.owner.client.delete(f"/v1/files/{one['id']}")).raise_for_status()
    to_file = {"file_id": one["id"], "base_revision_id": one["revision_id"]}
    body = start_body(b"edited", "") | {"destination": to_file}
    edit = (await world.owner.client.post("/v1/uploads", json=body)).raise_for_status().json()["upload"]
    await send(world.owner, edit, b"edited")
    (await complete(world.owner, edit["id"])).raise_for_status()
    refused = await world.owner.client.post("/v1/uploads", json=start_body(b"late", "") | {"destination": to_file})
    assert refused.status_code == 409
    await upload_file(world.owner, b"two", "one", destination={"on_conflict": "replace"})
    multi = await start(world.owner, b"multi", "multi", **MULTI)
    await send(world.owner, multi, b"multi")
    (await complete(world.owner, multi["id"])).raise_for_status()
    await world.clients["anonymous"].post(
        "/v1/auth/token", data={"grant_type": "password", "username": new_address(), "password": "x"}
    )
    for job in JOBS.values():
        await job.run(world.server.services)


async def test_hot_statements_find_their_rows_by_an_index(world: World) -> None:
    with record_statements(world.server.db) as seen:
        await run_everything(world)
    hot = list_hot_statements(seen)
    assert len(hot) > 150
    tables, planner = BIG_TABLES, {"enable_seqscan": "off"}
    if LONG:
        await scale.fill_database(world.server.settings.database.url.get_secret_value())
        tables, planner = scale.FILLED, {}
        hot = [statement for statement in hot if not any(part in statement[0] for part in MAY_SCAN)]
    found = [
        f"{scan}: {' '.join(statement[0].split())}"
        for statement in hot
        for scan in await explain_scans(world.server.db, statement, tables, **planner)
    ]
    assert found == []
