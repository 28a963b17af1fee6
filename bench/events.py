"""Long polls: memory of a waiting one, time to wake all of them, and time until a change is delivered.

The comparison is a bare Starlette route that waits for an asyncio.Event, without authentication and without a journal.
"""

import asyncio
import resource
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any, cast
from urllib.parse import urlsplit

import asyncpg
import httpx2
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from bench import processes
from bench.stack import Stack, WebServer
from bench.table import Row, Section, ms, times
from dropbox_api.accounts.session_tokens import AccessTokens, Identity
from dropbox_api.events.wakeup import CHANNEL
from dropbox_api.settings import AuthSettings
from dropbox_client.tokens import TokenFile

WAITING = 5_000
_PEOPLE = 1_000
_WARM_UP = 500
_AT_ONCE = 200
_ROUNDS = 3
_CHANGES = 500
_WAIT_S = 90
_PROBE = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"

Requests = Callable[[httpx2.AsyncClient], Awaitable[Sequence[bytes]]]


# The bare server: `uvicorn bench.events:app`


class _News:
    event: asyncio.Event | None = None


async def _wait(_: Request) -> JSONResponse:
    if _News.event is None:
        _News.event = asyncio.Event()
    await _News.event.wait()
    return JSONResponse({})


async def _wake(_: Request) -> JSONResponse:
    event, _News.event = _News.event, None
    if event is not None:
        event.set()
    return JSONResponse({})


async def _healthz(_: Request) -> JSONResponse:
    return JSONResponse({})


app = Starlette(routes=[Route("/wait", _wait), Route("/wake", _wake, methods=["POST"]), Route("/healthz", _healthz)])


# The clients


class _Waiting(asyncio.Protocol):
    """One connection with one request, and the time of its answer."""

    def __init__(self, request: bytes) -> None:
        self.request = request
        self.transport: asyncio.Transport
        self.answer = b""
        self.answered = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.answer += data
        if not self.answered.done() and self.answer.endswith(b"}"):
            self.answered.set_result(time.perf_counter())

    def connection_lost(self, error: Exception | None) -> None:
        if not self.answered.done():
            self.answered.set_exception(error or ConnectionError("closed"))
            self.answered.exception()  # mark as retrieved; a waiting caller gets it too


async def _quiet(pid: int) -> None:
    """Return when a process has been idle for half a second."""
    before = -1.0
    while (now := processes.cpu_s(pid)) - before > 0.015:
        before = now
        await asyncio.sleep(0.5)


async def _round(
    server: WebServer, requests: Sequence[bytes], count: int, wake: Callable[[], Awaitable[object]]
) -> tuple[float, float]:
    """Let this many wait and wake them; return bytes of memory for each, and seconds until the last answer."""
    parts = urlsplit(server.url)
    host, port = parts.hostname or "", parts.port or 0
    loop = asyncio.get_running_loop()
    await _quiet(server.server_pid)
    before = processes.memory(server.server_pid, "VmRSS")
    waiting: list[_Waiting] = []
    while len(waiting) < count:
        made = [
            loop.create_connection(lambda n=n: _Waiting(requests[n % len(requests)]), host, port)  # type: ignore[misc]
            for n in range(len(waiting), min(len(waiting) + _AT_ONCE, count))
        ]
        waiting += [protocol for _, protocol in await asyncio.gather(*made)]
        # The probe is answered after the earlier connections are accepted: the backlog never overflows.
        _, probe = await loop.create_connection(lambda: _Waiting(_PROBE), host, port)
        await probe.answered
        probe.transport.abort()
    await _quiet(server.server_pid)
    each = (processes.memory(server.server_pid, "VmRSS") - before) / count
    early = [one.answer or one.answered.exception() for one in waiting if one.answered.done()]
    assert not early, (len(early), early[:3])
    began = time.perf_counter()
    await wake()
    ended = await asyncio.gather(*(one.answered for one in waiting))
    assert all(one.answer.startswith(b"HTTP/1.1 200") for one in waiting)
    for one in waiting:
        one.transport.abort()
    return each, max(ended) - began


async def _measure(
    server: WebServer, requests: Requests, wake: Callable[[httpx2.AsyncClient], Awaitable[object]]
) -> tuple[float, list[float]]:
    """Return bytes for each waiting client of a fresh server, and seconds to wake all, for each round."""
    async with httpx2.AsyncClient(base_url=server.url, timeout=120) as client:
        await _round(server, await requests(client), _WARM_UP, lambda: wake(client))
        found = [await _round(server, await requests(client), WAITING, lambda: wake(client)) for _ in range(_ROUNDS)]
    return found[0][0], [took for _, took in found]


# Many users

_MAKE_PEOPLE = """
WITH person AS (
    INSERT INTO users (id, email, kind, quota_bytes, quota_nodes)
    SELECT id, id || '@example.com', 'person', 1, 1 FROM unnest($1::uuid[]) id RETURNING id
)
INSERT INTO sessions (id, user_id, refresh_hash, expires_at)
SELECT id, id, uuid_send(id), now() + interval '1 day' FROM person
"""
_TELL_PEOPLE = """
WITH counter AS (UPDATE users SET journal_seq = journal_seq + 1 WHERE id = ANY($1) RETURNING id, journal_seq)
INSERT INTO events (recipient_id, seq, id, kind, owner_id, node_id, payload)
SELECT id, journal_seq, gen_random_uuid(), 'file.verified', id, gen_random_uuid(), '{}' FROM counter
"""
_IDS_A_NOTIFY = 200


async def _people(stack: Stack) -> list[uuid.UUID]:
    ids = [uuid.uuid4() for _ in range(_PEOPLE)]
    raw = await asyncpg.connect(stack.postgres.url.replace("+asyncpg", ""))
    await raw.execute(_MAKE_PEOPLE, ids)
    await raw.close()
    return ids


async def _tell(stack: Stack, ids: Sequence[uuid.UUID]) -> None:
    """Append the events that the relay writes when this many users see one folder."""
    raw = await asyncpg.connect(stack.postgres.url.replace("+asyncpg", ""))
    await raw.execute(_TELL_PEOPLE, ids)
    for at in range(0, len(ids), _IDS_A_NOTIFY):
        payload = " ".join(map(str, ids[at : at + _IDS_A_NOTIFY]))
        await raw.execute("SELECT pg_notify($1, $2)", CHANNEL, payload)
    await raw.close()


def _poll(authorization: str, more: str = "") -> bytes:
    head = f"Host: localhost\r\nAuthorization: {authorization}\r\n\r\n"
    return f"GET /v1/events?wait_s={_WAIT_S}{more} HTTP/1.1\r\n{head}".encode()


# One change and one waiting client


async def _latencies(writer: httpx2.AsyncClient, reader: httpx2.AsyncClient) -> tuple[list[float], list[float]]:
    """Return seconds from sending a change to the arrival of its event, and to the answer of the change."""
    cursor = (await reader.get("/v1/events/cursor")).raise_for_status().json()["cursor"]
    known, answered = [], []
    for n in range(_CHANGES):
        query = {"cursor": cursor, "wait_s": _WAIT_S}
        poll = asyncio.create_task(reader.get("/v1/events", params=query))
        await asyncio.sleep(0.02)
        began = time.perf_counter()
        change = asyncio.create_task(writer.post("/v1/folders", json={"name": f"{uuid.uuid4().hex} {n}"}))
        change.add_done_callback(lambda _, began=began: answered.append(time.perf_counter() - began))  # type: ignore[misc]
        found = (await poll).raise_for_status().json()
        known.append(time.perf_counter() - began)
        (await change).raise_for_status()
        assert len(found["events"]) == 1
        cursor = found["cursor"]
    return known, answered


def _percentiles(values: list[float]) -> tuple[float, float]:
    return median(values), quantiles(values, n=100)[98]


def measure(stack: Stack) -> Section:
    """Measure one process of the API and one bare process, each freshly started, one after the other."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # inherited by the servers started below
    bare = {"PYTHONPATH": str(Path(__file__).parents[1])}
    uvicorn = ["-m", "uvicorn", "bench.events:app", "--port", "{port}", "--no-access-log", "--log-level", "warning"]
    serve = ["-m", "dropbox_api", "serve"]
    with stack.signed_in(stack.api.url) as (_, home):
        tokens = TokenFile(Path(home["HOME"]) / "dbx" / "tokens.json").load()
        assert tokens
        headers = {"Authorization": f"Bearer {tokens.access_token}"}

        async def wake_ours(client: httpx2.AsyncClient) -> Any:
            made = await client.post("/v1/folders", json={"name": uuid.uuid4().hex}, headers=headers)
            return made.raise_for_status()

        async def ask_ours(client: httpx2.AsyncClient) -> list[bytes]:
            now = (await client.get("/v1/events/cursor", headers=headers)).raise_for_status().json()["cursor"]
            return [_poll(headers["Authorization"], f"&cursor={now}")]

        async def ask_other(_: httpx2.AsyncClient) -> list[bytes]:
            return [b"GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n"]

        def run(work: Awaitable[Any]) -> Any:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                return runner.run(_awaited(work))

        with WebServer(stack.directory / "waiting", serve, stack.api.environment, "/healthz") as ours:
            our_bytes, our_s = run(_measure(ours, ask_ours, wake_ours))
            issue, ids = AccessTokens(AuthSettings()).issue, run(_people(stack))
            polls = [_poll(f"Bearer {issue(Identity(user_id, user_id))}") for user_id in ids]
            _, people_s = run(_round(ours, polls, _PEOPLE, lambda: _tell(stack, ids)))
        with WebServer(stack.directory / "bare", uvicorn, bare, "/healthz") as other:
            bare_bytes, bare_s = run(_measure(other, ask_other, lambda client: client.post("/wake")))

        rows = []
        with (
            WebServer(stack.directory / "one", serve, stack.api.environment, "/healthz") as one,
            WebServer(stack.directory / "two", serve, stack.api.environment, "/healthz") as two,
        ):
            for what, reading in (("in the same process", one), ("in another process", two)):
                known, answered = run(_both(one.url, reading.url, headers))
                p50, p99 = _percentiles(known)
                change_p50, change_p99 = _percentiles(answered)
                rows.append(
                    Row(
                        f"a change is known to a client that waits {what}: p50, p99 from sending it",
                        f"{ms(p50)}, {ms(p99)}",
                        f"the change's own answer: {ms(change_p50)}, {ms(change_p99)}",
                        times(p99 / change_p99),
                        "p99 <= 100 ms",
                        p99 <= 0.1,
                    )
                )
    ours_s, others_s = median(our_s), median(bare_s)
    return Section(
        "Long polls",
        [
            Row(
                f"memory of each of {WAITING:,} waiting long polls",
                f"{our_bytes / 1024:.1f} KiB",
                f"bare Starlette: {bare_bytes / 1024:.1f} KiB",
                times(our_bytes / bare_bytes),
                "<= 1.5x",
                our_bytes <= 1.5 * bare_bytes,
            ),
            Row(
                f"until all {WAITING:,} have their answer",
                ms(ours_s),
                f"bare Starlette: {ms(others_s)}",
                times(ours_s / others_s),
                "<= 1.3x",
                ours_s <= 1.3 * others_s,
            ),
            Row(
                f"until {_PEOPLE:,} different users have their answer, each from its own journal (one round)",
                ms(people_s),
                "",
                "",
                "",
            ),
            *rows,
        ],
        [
            f"{WAITING:,} connections with one long poll each at one server process with uvloop, all of one account: "
            f"one change wakes them. Medians of {_ROUNDS} rounds; memory is the growth in the first round after one of "
            f"{_WARM_UP}. The API checks the session and reads the journal: once for all polls of one account, once "
            "for each account otherwise (one statement writes their events, as for the members of one folder).",
            f"{_CHANGES} changes, one after the other, by one client; another waits by long poll. The time starts "
            "when the change is sent, and includes it.",
        ],
    )


async def _awaited(work: Awaitable[Any]) -> Any:
    return await work


async def _both(writing: str, reading: str, headers: dict[str, str]) -> tuple[list[float], list[float]]:
    async with (
        httpx2.AsyncClient(base_url=writing, headers=headers, timeout=120) as writer,
        httpx2.AsyncClient(base_url=reading, headers=headers, timeout=120) as reader,
    ):
        return await _latencies(writer, reader)
