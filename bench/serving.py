"""The API as a server: a hot GET beside a minimal server, and the calls and memory of a 50 GB upload."""

import asyncio
import hashlib
import json
import uuid
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from statistics import median
from typing import cast
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

import asyncpg
import uvloop

from bench import processes
from bench.stack import BUCKET, PASSWORD, Stack, WebServer
from bench.table import GIB, MIB, Row, Section, interleaved, mib, s, times
from dropbox_api.core.presign import Presigner
from dropbox_client.call import IDLE_TIMEOUT_S
from dropbox_client.client import Client
from dropbox_client.errors import Stopped
from dropbox_client.tokens import TokenFile
from dropbox_client.transfer.chunks import Chunks, Hashes, fixed
from dropbox_client.transfer.hash_cache import HashCache
from dropbox_client.transfer.progress import UploadItem
from dropbox_client.transfer.source import Identity
from dropbox_client.transfer.upload import Uploader
from dropbox_client.transport import Body, ResponseStream, Transport

_CONNECTIONS = 8
_LOAD_S = 3.0
_REFRESHES = 500
_LARGE_BYTES = 50 * GIB
_CHUNK_BYTES = 8 * MIB


def measure(stack: Stack, runs: int) -> Section:
    return Section(
        "Server",
        [*_hot_get(stack, runs), _cookie_refresh(stack, runs), *_large_upload(stack)],
        [
            f"GET /v1/me: {_CONNECTIONS} kept connections, {_LOAD_S:.0f} s a run, one worker process with uvloop each. "
            "The API also checks a token. Processor time is that of the web server's process; other programs on the "
            "machine disturb it less than requests per second.",
            f"Refresh: {_REFRESHES} in turn on one connection, as a page sends them and as a program does.",
            "50 GiB upload: the real client with a made-up file (hashes in its cache; else one call more), which "
            f"sends 1 byte to the store for each {mib(_CHUNK_BYTES)} part, under the id of the upload. So the final "
            "listing has 6,400 parts, which the API records as mismatched; only the Complete of S3 is missing.",
        ],
    )


# Hot GET


class _Load(asyncio.Protocol):
    """One connection that repeats its request after each answer."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._transport: asyncio.Transport
        self._answer = b""
        self.answers = 0
        self.failed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # the transport of uvloop does not derive from it
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        if self._answer.endswith(b"}"):  # both servers answer one flat JSON object
            self.failed |= not self._answer.startswith(b"HTTP/1.1 200")
            self.answers += 1
            self._answer = b""
            self._transport.write(self._request)


async def _load(url: str, headers: str) -> int:
    """Return the number of answers in `_LOAD_S`."""
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    host, port = parts.hostname, parts.port
    request = f"GET /v1/me HTTP/1.1\r\nHost: {parts.netloc}\r\n{headers}\r\n".encode()
    loop = asyncio.get_running_loop()
    made = [await loop.create_connection(lambda: _Load(request), host, port) for _ in range(_CONNECTIONS)]
    before = sum(load.answers for _, load in made)
    await asyncio.sleep(_LOAD_S)
    answers = sum(load.answers for _, load in made) - before
    for transport, load in made:
        transport.abort()
        assert not load.failed
    return answers


def _hot_get(stack: Stack, runs: int) -> list[Row]:
    with stack.signed_in(stack.api.url) as (client, environment):
        tokens = TokenFile(Path(environment["XDG_CONFIG_HOME"]) / "dbx" / "tokens.json").load()
        assert tokens
        user_id = client.account.get().id
        variables = {
            "BENCH_DATABASE_URL": stack.postgres.url.replace("+asyncpg", ""),
            "BENCH_USER": user_id,
            "BENCH_SESSION": str(asyncio.run(_session_of(stack, user_id))),
            "PYTHONPATH": str(Path(__file__).parents[1]),
        }
        command = [
            "-m",
            "uvicorn",
            "bench.baseline:app",
            "--port",
            "{port}",
            "--no-access-log",
            "--log-level",
            "warning",
        ]
        cpu_us: dict[str, list[float]] = {"api": [], "baseline": []}
        with WebServer(stack.directory / "baseline", command, variables, "/healthz") as baseline:

            def load(name: str, server: WebServer, headers: str) -> float:
                began = processes.cpu_s(server.server_pid)
                with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                    answers = runner.run(_load(server.url, headers))
                cpu_us[name].append((processes.cpu_s(server.server_pid) - began) / answers * 1e6)
                return answers / _LOAD_S

            found = interleaved(
                runs,
                {
                    "api": lambda: load("api", stack.api, f"Authorization: Bearer {tokens.access_token}\r\n"),
                    "baseline": lambda: load("baseline", baseline, ""),
                },
            )
    ours, other = median(found["api"]), median(found["baseline"])
    ours_us, other_us = median(cpu_us["api"]), median(cpu_us["baseline"])
    return [
        Row(
            "GET /v1/me: requests per second",
            f"{ours:,.0f}",
            f"Starlette, same queries: {other:,.0f}",
            times(ours / other),
            ">= 0.6x",
            ours / other >= 0.6,
        ),
        Row(
            "GET /v1/me: processor time a request",
            f"{ours_us:.0f} us",
            f"Starlette, same queries: {other_us:.0f} us",
            times(ours_us / other_us),
            "<= 1.67x",
            ours_us / other_us <= 1 / 0.6,
        ),
    ]


# Sessions of browsers


def _cookie_refresh(stack: Stack, runs: int) -> Row:
    """Renew a session by its cookie, and another one by the token in the body."""
    address = urlsplit(stack.api.url)
    with stack.signed_in(stack.api.url) as (client, _), closing(HTTPConnection(address.netloc)) as connection:
        form = urlencode({"grant_type": "password", "username": client.account.get().email, "password": PASSWORD})
        page = {"X-Session": "cookie", "Sec-Fetch-Site": "same-origin"}

        def send(path: str, body: str, headers: dict[str, str]) -> HTTPResponse:
            connection.request("POST", f"/v1/auth/{path}", body, headers)
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()
            return answer

        def sign_in(headers: dict[str, str]) -> HTTPResponse:
            return send("token", form, headers | {"Content-Type": "application/x-www-form-urlencoded"})

        def by_cookie() -> float:
            answer = sign_in(page)
            began = processes.cpu_s(stack.api.server_pid)
            for _ in range(_REFRESHES):
                answer.read()
                cookie = str(answer.getheader("set-cookie")).partition(";")[0]
                answer = send("refresh", "", page | {"Cookie": cookie})
            answer.read()
            return (processes.cpu_s(stack.api.server_pid) - began) / _REFRESHES

        def by_body() -> float:
            answer = sign_in({})
            began = processes.cpu_s(stack.api.server_pid)
            for _ in range(_REFRESHES):
                body = json.dumps({"refresh_token": json.loads(answer.read())["refresh_token"]})
                answer = send("refresh", body, {"Content-Type": "application/json"})
            answer.read()
            return (processes.cpu_s(stack.api.server_pid) - began) / _REFRESHES

        found = interleaved(runs, {"cookie": by_cookie, "body": by_body})
    cookie_s, body_s = median(found["cookie"]), median(found["body"])
    return Row(
        "refresh of a session in a cookie: processor time",
        f"{cookie_s * 1e6:.0f} us",
        f"token in the body: {body_s * 1e6:.0f} us",
        times(cookie_s / body_s),
        "<= 1.2x",
        cookie_s / body_s <= 1.2,
    )


async def _session_of(stack: Stack, user_id: str) -> uuid.UUID:
    connection = await asyncpg.connect(stack.postgres.url.replace("+asyncpg", ""))
    try:
        found: uuid.UUID = await connection.fetchval("SELECT id FROM sessions WHERE user_id = $1", uuid.UUID(user_id))
        return found
    finally:
        await connection.close()


# A large upload


class _HashesOfNothing(HashCache):
    """Returns made-up hashes for a file that is never read."""

    def find(self, path: Path, identity: Identity) -> Hashes:  # noqa: ARG002
        plan = Chunks(_LARGE_BYTES, fixed(_CHUNK_BYTES))
        chunks = {number: hashlib.sha256(b"%d" % number).hexdigest() for number in range(1, plan.count + 1)}
        return Hashes(plan, chunks, hashlib.sha256(b"all of them").hexdigest())

    def store(self, path: Path, identity: Identity, hashes: Hashes) -> None: ...


class _OneByteParts(Transport):
    """Counts calls to the API, sends one byte for each part, and stops at the first Complete."""

    def __init__(self, api_url: str, presigner: Presigner) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        self._api_url = api_url
        self._presigner = presigner

    @contextmanager
    def open(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Body = b"",
        *,
        idle_timeout_s: float = IDLE_TIMEOUT_S,
    ) -> Iterator[ResponseStream]:
        if url.startswith(self._api_url):
            if self.calls["complete"]:
                raise Stopped("that was it")
            self.calls[url.rpartition("/")[2]] += 1
        else:
            url, headers, body = self._shrink(url)
        with super().open(method, url, headers, body, idle_timeout_s=idle_timeout_s) as stream:
            yield stream

    def _shrink(self, url: str) -> tuple[str, Mapping[str, str], Body]:
        """Return a request that puts one byte as the part of a signed URL."""
        parts = urlsplit(url)
        query = parse_qs(parts.query)
        key = unquote(parts.path).removeprefix(f"/{BUCKET}/")
        sha256 = b64encode(hashlib.sha256(b"x").digest()).decode()
        part = (int(query["partNumber"][0]), 1, sha256)
        (small,) = self._presigner.sign_parts(key, query["uploadId"][0], [part], now=datetime.now(UTC), expires_s=600)
        return small, {"Content-Length": "1", "x-amz-checksum-sha256": sha256}, b"x"


def _large_upload(stack: Stack) -> list[Row]:
    s3 = stack.s3_config
    presigner = Presigner(
        access_key_id=s3.access_key_id or "",
        secret_access_key=s3.secret_access_key or "",
        session_token=None,
        region=s3.region,
        endpoint_url=s3.endpoint_url or "",
        bucket=s3.bucket,
        addressing="path",
    )
    made_up = stack.directory / "50GiB"
    with made_up.open("wb") as file:
        file.truncate(_LARGE_BYTES)
    with stack.signed_in(stack.api.url) as (signed_in, environment):
        transport = _OneByteParts(stack.api.url, presigner)
        tokens = TokenFile(Path(environment["XDG_CONFIG_HOME"]) / "dbx" / "tokens.json")
        client = Client(stack.api.url, tokens, transport=transport)
        assert stack.postgres.process
        servers = {"api": stack.api.server_pid, "postgres": stack.postgres.process.pid}
        memory = processes.forget_peak(servers["api"])  # without the peak of password hashing
        before = {name: processes.cpu_s(pid) for name, pid in servers.items()}
        uploader = Uploader(client, cache=_HashesOfNothing(made_up))
        try:
            with uploader:
                list(uploader.upload([UploadItem(made_up, "/", made_up.name, _LARGE_BYTES)]))
        except Stopped:
            pass
        cpu = {name: processes.cpu_s(pid) - before[name] for name, pid in servers.items()}
        grown = max(0, processes.memory(servers["api"], "VmHWM") - memory)
        calls = transport.calls.total()
        _abandon(signed_in)
    made_up.unlink()
    return [
        Row(
            "API calls for an upload of 50 GiB (6,400 parts)",
            str(calls),
            "one call for each part, as in many APIs: 6,400 (not measured)",
            "",
            "<= 60",
            calls <= 60,
        ),
        Row(
            "processor time of API + Postgres for it",
            f"{s(cpu['api'])} + {s(cpu['postgres'])}",
            "",
            "",
            "<= 1.5 s",
            sum(cpu.values()) <= 1.5,
        ),
        Row("memory that it adds to the API", mib(grown), "", "", "<= 20 MB", grown <= 20e6),
    ]


def _abandon(client: Client) -> None:
    for upload in client.uploads.list(state="active"):
        client.uploads.abort(upload.id)
