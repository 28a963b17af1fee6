"""Compressed answers through HTTP: which, with which coding, and with the headers of the plain ones."""

import asyncio
import gzip
import sys

import httpx2
import pytest

from dropbox_client import Client
from tests.conftest import Register
from tests.support.server import Account, RunningServer, sign_in

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

DECODERS = {"gzip": gzip.decompress, "zstd": zstd.decompress}


@pytest.fixture(scope="module")
async def visitor(visitor: Account) -> Account:
    for n in range(40):
        (await visitor.client.post("/v1/folders", json={"path": f"/compressed/{n}"})).raise_for_status()
    return visitor


async def ask(
    account: Account, method: str, path: str, accept: str | None, **more: object
) -> tuple[httpx2.Response, bytes]:
    """Return the answer, and its body as sent."""
    request = account.client.build_request(method, path, **more)  # type: ignore[arg-type]
    request.headers.pop("accept-encoding", None)
    if accept is not None:
        request.headers["accept-encoding"] = accept
    answer = await account.client.send(request, stream=True)
    body = b"".join([piece async for piece in answer.aiter_raw()])
    return answer, body


@pytest.mark.parametrize(
    ("accept", "coding"),
    [(None, None), ("identity", None), ("gzip", "gzip"), ("gzip, zstd", "zstd"), ("gzip;q=0", None)],
)
@pytest.mark.parametrize(
    "path",
    ["/v1/files?path=/compressed&limit=1000", "/v1/search?q=1&limit=100", "/v1/events?since=2026-01-01T00:00:00Z"],
)
async def test_list_is_sent_in_the_coding_that_the_client_accepts(
    visitor: Account, path: str, accept: str | None, coding: str | None
) -> None:
    plain, expected = await ask(visitor, "GET", path, None)
    answer, body = await ask(visitor, "GET", path, accept)
    assert plain.status_code == answer.status_code == 200
    assert answer.headers.get("content-encoding") == coding
    assert "Accept-Encoding" in answer.headers["vary"]
    assert int(answer.headers["content-length"]) == len(body)
    if coding is None:
        assert body == expected
    else:
        assert DECODERS[coding](body) == expected
        assert len(body) < len(expected) / 2


async def test_head_of_a_list_has_the_headers_of_the_compressed_get(visitor: Account) -> None:
    path = "/v1/files?path=/compressed&limit=1000"
    got, _ = await ask(visitor, "GET", path, "gzip")
    head, body = await ask(visitor, "HEAD", path, "gzip")
    assert body == b""
    for name in ("content-encoding", "content-length", "content-type", "vary"):
        assert head.headers[name] == got.headers[name]


async def test_small_answer_and_problem_are_plain_and_vary(visitor: Account) -> None:
    for path, status in (("/v1/files?path=/compressed/1", 200), ("/v1/files?path=/nothing", 404)):
        answer, body = await ask(visitor, "GET", path, "gzip")
        assert answer.status_code == status
        assert "content-encoding" not in answer.headers
        assert "Accept-Encoding" in answer.headers["vary"]
        assert int(answer.headers["content-length"]) == len(body)


async def test_answer_with_a_secret_is_plain_however_large(register: Register, api: httpx2.AsyncClient) -> None:
    account = await register()
    folder = (await account.client.post("/v1/folders", json={"path": "/shared"})).raise_for_status().json()
    for _ in range(8):
        made = await account.client.post(f"/v1/files/{folder['id']}/links", json={"mode": "download"})
        made.raise_for_status()
    listed, body = await ask(account, "GET", f"/v1/files/{folder['id']}/links", "gzip, zstd")
    assert len(body) > 2048
    assert b'"token"' in body
    assert "content-encoding" not in listed.headers
    signed_in = await sign_in(api, account.email, account.password)
    assert "content-encoding" not in signed_in.headers


async def test_stream_of_events_is_plain(visitor: Account) -> None:
    headers = {"Accept-Encoding": "gzip, zstd"}
    params = {"since": "2026-01-01T00:00:00Z"}
    async with visitor.client.stream("GET", "/v1/events/stream", params=params, headers=headers) as answer:
        first = await anext(answer.aiter_raw())
    assert "content-encoding" not in answer.headers
    assert first.startswith(b"retry:")


async def test_sdk_reads_compressed_lists(server: RunningServer, visitor: Account) -> None:
    with Client(server.url, token=visitor.tokens["access_token"]) as client:
        listed = await asyncio.to_thread(lambda: list(client.files.list("/compressed")))
    assert len(listed) == 40


async def test_list_with_the_urls_of_thumbnails_is_not_compressed(visitor: Account) -> None:
    for wanted, coding in (({}, "gzip"), ({"thumbnails": True}, None)):
        params = {"path": "/compressed"} | wanted
        answer, _ = await ask(visitor, "GET", "/v1/files", "gzip", params=params)
        assert answer.raise_for_status().headers.get("content-encoding") == coding
