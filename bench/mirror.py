"""The tree in compact rows: of a whole account, and of a small folder in it."""

import asyncio
import gzip
import os
import time
import uuid
from pathlib import Path
from statistics import median

import asyncpg
import httpx2
import orjson

from bench import processes
from bench.stack import Stack
from bench.table import Row, Section, ms
from dropbox_client.tokens import TokenFile

_NODES = int(os.environ.get("BENCH_NODES", "2000000"))
_ROWS = 10_000
_BLOBS = _NODES // 10
_SMALL, _CALLS, _IDS = 10, 30, 1_000

# One folder for each 20 files, each tenth of the folders in one of the others. Ids are made in order, as by a server.
_FILL = """
CREATE TEMP TABLE entry AS SELECT n, uuidv7() AS id, uuidv7() AS revision_id, n % 21 = 1 AS is_folder
    FROM generate_series(1, {nodes}) n;
CREATE UNIQUE INDEX ON entry (n);
INSERT INTO blobs (id, owner_id, fingerprint, size_bytes, storage_key, etag, content_status, verified_at)
    SELECT id, {owner}, sha256(CAST(id AS text)::bytea), n * 7919 % 10000019, 'bench/' || id, '', 'verified', now()
    FROM entry WHERE n <= {blobs};
INSERT INTO nodes (id, owner_id, parent_id, kind, name, name_key, head_revision_id, size_bytes)
    SELECT entry.id, {owner}, coalesce(above.id, {root}), CASE WHEN entry.is_folder THEN 'folder' ELSE 'file' END,
        name, lower(name), CASE WHEN NOT entry.is_folder THEN entry.revision_id END,
        CASE WHEN entry.is_folder THEN 0 ELSE blob.n * 7919 % 10000019 END
    FROM entry LEFT JOIN entry above ON above.n = CASE
            WHEN NOT entry.is_folder THEN (entry.n - 1) / 21 * 21 + 1
            WHEN entry.n > 1 THEN (entry.n / 21 - 1) / 10 * 21 + 1 END
        JOIN entry blob ON blob.n = entry.n % {blobs} + 1, LATERAL (SELECT
            (ARRAY['IMG_', 'Report ', 'invoice-', 'notes ', 'Скан ', '写真'])[1 + entry.n % 6] || entry.n
            || CASE WHEN entry.is_folder THEN '' ELSE (ARRAY['.jpg', '.pdf', '.txt'])[1 + entry.n % 3] END AS name
        ) named;
INSERT INTO revisions
    (id, owner_id, node_id, number, blob_id, size_bytes, content_type, author_id, client_modified_at)
    SELECT entry.revision_id, {owner}, entry.id, 1, blob.id, blob.n * 7919 % 10000019, 'text/plain', {owner},
        now() - entry.n * interval '37 s' - random() * interval '1 s'
    FROM entry JOIN entry blob ON blob.n = entry.n % {blobs} + 1 WHERE NOT entry.is_folder;
UPDATE users SET used_nodes = {nodes} WHERE id = {owner};
"""


def measure(stack: Stack) -> Section:
    with stack.signed_in(stack.api.url) as (client, environment):
        tokens = TokenFile(Path(environment["HOME"]) / "dbx" / "tokens.json").load()
        assert tokens
        user_id, small_id = uuid.UUID(client.account.get().id), client.files.create_folder("/small").id
        for number in range(_SMALL):
            client.files.create_folder_in(small_id, f"{number}")
        asyncio.run(_fill(stack.postgres.url, user_id, client.files.get("/").id))
        headers = {"Authorization": f"Bearer {tokens.access_token}", "Accept-Encoding": "identity"}
        with httpx2.Client(base_url=stack.api.url, headers=headers, timeout=120) as api:
            rows = [*_whole(stack, api), _small(api, small_id), _lookup(api)]
    note = f"An account of {_NODES:,} nodes, 20 files in a folder, filled by SQL and analysed; {_ROWS:,} rows a page."
    return Section("The tree in compact rows", rows, [note])


async def _fill(url: str, user_id: uuid.UUID, root_id: str) -> None:
    """Fill an account. The role is a superuser: foreign keys are not checked, and the search index is built once."""
    raw = await asyncpg.connect(url.replace("+asyncpg", ""))
    await raw.execute("SET session_replication_role = replica; SET maintenance_work_mem = '1GB'")
    search_index = await raw.fetchval("SELECT pg_get_indexdef(CAST('nodes_search_trgm_idx' AS regclass))")
    await raw.execute("DROP INDEX nodes_search_trgm_idx")
    names = {"owner": f"CAST('{user_id}' AS uuid)", "root": f"CAST('{root_id}' AS uuid)"}
    await raw.execute(_FILL.format(nodes=_NODES, blobs=_BLOBS, **names), timeout=3600)
    await raw.execute(search_index, timeout=3600)
    await raw.execute("VACUUM ANALYZE", timeout=3600)
    await raw.close()


def _whole(stack: Stack, api: httpx2.Client) -> list[Row]:
    entries = packed = fast = 0
    cursor: dict[str, str] = {}
    took_s, cpu_s = 0.0, processes.cpu_s(stack.api.server_pid)
    while True:
        began = time.perf_counter()
        body = api.get("/v1/tree", params={"limit": _ROWS, **cursor}).raise_for_status().content
        took_s += time.perf_counter() - began
        page = orjson.loads(body)
        entries += len(page["items"])
        packed += len(gzip.compress(body, 6))
        fast += len(gzip.compress(body, 1))
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    cpu_s = processes.cpu_s(stack.api.server_pid) - cpu_s
    rate, size = entries / took_s, packed / entries
    return [
        Row(
            f"all {entries:,} entries ({entries / cpu_s:,.0f} for each second of the API's processor time)",
            f"{rate:,.0f} entries/s",
            "",
            "",
            ">= 30,000 entries/s",
            rate >= 30_000,
        ),
        Row(
            f"an entry with gzip 6 (gzip 1: {fast / entries:.0f} B)",
            f"{size:.0f} B",
            "",
            "",
            "<= 100 B",
            size <= 100,
        ),
    ]


def _timed(call: httpx2.Request, api: httpx2.Client) -> float:
    began = time.perf_counter()
    api.send(call).raise_for_status()
    return time.perf_counter() - began


def _small(api: httpx2.Client, folder_id: str) -> Row:
    call = api.build_request("GET", "/v1/tree", params={"root_id": folder_id})
    took_s = median(_timed(call, api) for _ in range(_CALLS))
    return Row(f"a folder of {_SMALL} in that account", ms(took_s), "", "", "<= 50 ms", took_s <= 0.05)


def _lookup(api: httpx2.Client) -> Row:
    page = api.get("/v1/tree", params={"limit": _IDS}).raise_for_status().json()
    call = api.build_request("POST", "/v1/files/lookup", json={"ids": [row[0] for row in page["items"]]})
    took_s = median(_timed(call, api) for _ in range(_CALLS))
    return Row(f"look up {_IDS:,} ids", ms(took_s), "", "", "", None)
