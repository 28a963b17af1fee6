"""The tree: lists of large folders, moves, copies and search; and a form upload beside a presigned one."""

import asyncio
import hashlib
import secrets
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import asyncpg
import httpx2

from bench import processes
from bench.stack import Stack
from bench.table import MIB, Row, Section, interleaved, mib, ms, s, times
from dropbox_api.core import names
from dropbox_client.tokens import TokenFile

_LARGE, _SMALL = 100_000, 100
_COPIED = 10_000
_CALLS = 30
_BATCH, _BATCH_CALLS = 500, 5
_FORM_BYTES = 64 * MIB
_DBX = Path(sys.executable).with_name("dbx")

_WORDS = ["report", "photo", "Invoice", "notes", "Скан", "写真", "Übersicht"]
_FILL = """
WITH entry AS (
    SELECT gen_random_uuid() AS id, gen_random_uuid() AS revision_id, *
    FROM unnest($3::text[], $6::text[], $7::text[]) WITH ORDINALITY AS named(name, name_key, name_sort, n)
), made AS (
    INSERT INTO nodes
        (id, owner_id, parent_id, kind, name, name_key, name_sort, head_revision_id, size_bytes, modified_at)
    SELECT id, $1, $2, 'file', name, name_key, name_sort, revision_id, $4::bigint, now() - n * interval '1 second'
    FROM entry
)
INSERT INTO revisions (id, owner_id, node_id, number, blob_id, size_bytes, content_type, author_id)
SELECT revision_id, $1, id, 1, $5, $4, 'application/pdf', $1 FROM entry
"""


def measure(stack: Stack, runs: int) -> Section:
    with stack.signed_in(stack.api.url) as (client, environment):
        user_id = uuid.UUID(client.account.get().id)
        tokens = TokenFile(Path(environment["HOME"]) / "dbx" / "tokens.json").load()
        assert tokens
        token = tokens.access_token
        api = httpx2.Client(base_url=stack.api.url, headers={"Authorization": f"Bearer {token}"}, timeout=120)
        with api:
            large, small = asyncio.run(_fill(stack, api, user_id))
            rows = [
                *_lists(api, large, small),
                _page_bytes(api, large),
                *_moves(api, large, small),
                *_copy(api),
                *_batches(api),
                _search(api),
                _form(stack, token, environment, runs),
            ]
    return Section(
        "The tree",
        rows,
        [
            f"Folders of {_LARGE:,} and {_SMALL} files in one account, filled by one INSERT each, analysed. Times are "
            f"those of the HTTP call as its client sees it: medians of {_CALLS} calls, the two folders in turns.",
            f"Form upload: `curl -F` of {mib(_FORM_BYTES)}; presigned: `dbx upload` of the same bytes, start of Python "
            "included. The form's bytes pass the API, which hashes them; processor time is that of the API.",
        ],
    )


async def _fill(stack: Stack, api: httpx2.Client, user_id: uuid.UUID) -> tuple[str, str]:
    """Make the two folders; return their ids."""
    form = {"file": ("seed.pdf", b"seed", "application/pdf")}
    seed = api.post("/v1/files", files=form).raise_for_status().json()
    raw = await asyncpg.connect(stack.postgres.url.replace("+asyncpg", ""))
    blob_id = await raw.fetchval("SELECT blob_id FROM revisions WHERE id = $1", uuid.UUID(seed["revision_id"]))
    await raw.execute("UPDATE users SET quota_nodes = 10000000 WHERE id = $1", user_id)
    ids = []
    for name, count in (("large", _LARGE), ("small", _SMALL), ("copied", _COPIED)):
        folder = api.post("/v1/folders", json={"name": name}).raise_for_status().json()["id"]
        await fill_folder(raw, user_id, uuid.UUID(folder), blob_id, seed["size_bytes"], count)
        ids.append(folder)
    await raw.execute("VACUUM ANALYZE nodes")
    await raw.execute("VACUUM ANALYZE revisions")
    await raw.close()
    return ids[0], ids[1]


async def fill_folder(
    raw: asyncpg.Connection, user_id: uuid.UUID, folder_id: uuid.UUID, blob_id: uuid.UUID, size_bytes: int, count: int
) -> None:
    """Put files with the content of a blob into a folder."""
    digests = [hashlib.sha256(str(n).encode()).hexdigest()[:32] for n in range(count)]
    typed = [f"{_WORDS[n % len(_WORDS)]} {n} {digest}" for n, digest in enumerate(digests)]
    keys = [names.make_key(name) for name in typed]
    ordered = [names.make_sort_key(key) for key in keys]
    await raw.execute(_FILL, user_id, folder_id, typed, size_bytes, blob_id, keys, ordered, timeout=300)


def _timed(call: Callable[[], httpx2.Response]) -> float:
    began = time.perf_counter()
    call().raise_for_status()
    return time.perf_counter() - began


def _compare(what: str, by_size: dict[str, Callable[[], float]], target: float | None) -> Row:
    found = interleaved(_CALLS, by_size)
    large_s, small_s = median(found["large"]), median(found["small"])
    ratio = large_s / small_s
    return Row(
        what,
        ms(large_s),
        f"{_SMALL} files: {ms(small_s)}",
        times(ratio),
        "" if target is None else f"<= {target}x",
        None if target is None else ratio <= target,
    )


def _lists(api: httpx2.Client, large: str, small: str) -> list[Row]:
    def page(folder: str, order: str) -> Callable[[], float]:
        query = {"parent_id": folder, "order": order, "limit": "100"}
        return lambda: _timed(lambda: api.get("/v1/files", params=query))

    return [
        _compare(
            f"first 100 of {_LARGE:,} files, order={order}",
            {"large": page(large, order), "small": page(small, order)},
            1.2,
        )
        for order in ("name", "-size", "-modified")
    ]


def _page_bytes(api: httpx2.Client, folder: str) -> Row:
    query = {"parent_id": folder, "limit": "1000"}
    answer = api.get("/v1/files", params=query, headers={"Accept-Encoding": "gzip"}).raise_for_status()
    sent, plain = int(answer.headers["content-length"]), len(answer.content)
    what = f"a page of 1,000 files, compressed ({plain / 1024:.0f} KiB plain)"
    return Row(what, f"{sent / 1000:.1f} KB", "", "", "<= 60 KB", sent <= 60_000)


def _moves(api: httpx2.Client, large: str, small: str) -> list[Row]:
    target = api.post("/v1/folders", json={"name": "elsewhere"}).raise_for_status().json()["id"]

    def there_and_back(folder: str) -> float:
        def to(place: dict[str, str]) -> float:
            return _timed(lambda: api.patch(f"/v1/files/{folder}", json=place))

        return (to({"parent_id": target}) + to({"parent_path": "/"})) / 2

    def away_and_back(folder: str) -> float:
        address = f"/v1/files/{folder}"
        return (_timed(lambda: api.delete(address)) + _timed(lambda: api.post(f"{address}/restore"))) / 2

    works: dict[str, Callable[[str], float]] = {"move": there_and_back, "delete or restore": away_and_back}
    return [
        _compare(
            f"{name} a folder of {_LARGE:,} files",
            {"large": lambda work=work: work(large), "small": lambda work=work: work(small)},  # type: ignore[misc]
            1.2,
        )
        for name, work in works.items()
    ]


def _copy(api: httpx2.Client) -> list[Row]:
    folder = api.get("/v1/files/by-path", params={"path": "/copied"}).raise_for_status().json()["id"]
    rename: dict[str, Any] = {"on_conflict": "rename"}
    took = [_timed(lambda: api.post(f"/v1/files/{folder}/copy", json=rename)) for _ in range(3)]
    return [Row(f"copy a folder of {_COPIED:,} files", s(median(took)), "", "", "", None)]


def _batches(api: httpx2.Client) -> list[Row]:
    """Sign the URLs of 500 files, and move them to another folder and back, each in one request."""
    listed = api.get("/v1/files", params={"path": "/copied", "limit": str(_BATCH)}).raise_for_status().json()["items"]
    ids, home = [file["id"] for file in listed], listed[0]["parent_id"]
    away = api.post("/v1/folders", json={"name": "moved"}).raise_for_status().json()["id"]

    def sign() -> float:
        return _timed(
            lambda: api.post("/v1/files/download-batch", json={"items": [{"file_id": file_id} for file_id in ids]})
        )

    def move(folder_id: str) -> float:
        operations = [{"op": "move", "file_id": file_id, "parent_id": folder_id} for file_id in ids]
        return _timed(lambda: api.post("/v1/files/batch", json={"operations": operations}))

    signing = median(sign() for _ in range(_BATCH_CALLS))
    moving = median(move(folder_id) for _ in range(_BATCH_CALLS) for folder_id in (away, home))
    return [
        Row(f"download-batch of {_BATCH} files", ms(signing), "", "", "<= 150 ms", signing <= 0.15),
        Row(f"batch that moves {_BATCH} files", ms(moving), "", "", "<= 500 ms", moving <= 0.5),
    ]


def _search(api: httpx2.Client) -> Row:
    words = [secrets.token_hex(2) for _ in range(_CALLS)]
    took = [_timed(lambda q=word: api.get("/v1/search", params={"q": f"invoice {q}"})) for word in words]  # type: ignore[misc]
    return Row(f"search two words among {_LARGE + _SMALL + 4 * _COPIED:,} names", ms(median(took)), "", "", "", None)


def _form(stack: Stack, token: str, environment: dict[str, str], runs: int) -> Row:
    file = stack.directory / "form.bin"
    api_cpu_s: dict[str, list[float]] = {"form": [], "presigned": []}
    pid = stack.api.server_pid

    def run(name: str, command: list[Any]) -> float:
        file.write_bytes(secrets.token_bytes(_FORM_BYTES))
        before, began = processes.cpu_s(pid), time.perf_counter()
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        took = time.perf_counter() - began
        api_cpu_s[name].append(processes.cpu_s(pid) - before)
        return took

    curl = ["curl", "-sSf", "-H", f"Authorization: Bearer {token}", "-F", f"file=@{file}", "-F", "on_conflict=rename"]
    found = interleaved(
        runs,
        {
            "form": lambda: run("form", [*curl, f"{stack.api.url}/v1/files"]),
            "presigned": lambda: run("presigned", [_DBX, "upload", file, "--to", "/presigned"]),
        },
    )
    form_s, presigned_s = median(found["form"]), median(found["presigned"])
    cpu = f"API {s(median(api_cpu_s['form']))}, presigned {s(median(api_cpu_s['presigned']))} processor time"
    return Row(
        f"form upload of {mib(_FORM_BYTES)} ({cpu})",
        s(form_s),
        f"presigned: {s(presigned_s)}",
        times(form_s / presigned_s),
        "",
    )
