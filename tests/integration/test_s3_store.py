"""`S3Store` against a scripted HTTP server that fails, stalls or sends wrong responses."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import web

from dropbox_api.core.fingerprint import to_base64
from dropbox_api.storage import s3
from dropbox_api.storage.object_store import (
    CompletedPart,
    ObjectNotFound,
    PartToSign,
    ResponseHeaders,
    StoreConflict,
    StoreError,
    StoreRejected,
    StoreThrottled,
    StoreUnavailable,
)
from dropbox_api.storage.s3 import S3Config, S3Store

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
PARTS = [CompletedPart(1, "etag", bytes(32))]


class Script:
    """A server with scripted responses; it records the requests."""

    def __init__(self) -> None:
        self.requests: list[web.Request] = []
        self.answer: Handler

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        await request.read()
        return await self.answer(request)

    def say(self, status: int, text: str = "") -> None:
        async def answer(_: web.Request) -> web.Response:
            return web.Response(status=status, text=text, content_type="application/xml")

        self.answer = answer

    def say_error(self, status: int, code: str) -> None:
        self.say(status, f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>because</Message></Error>")


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
async def config(script: Script) -> AsyncIterator[S3Config]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", script.handle)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert isinstance(runner.addresses[0], tuple)
    port = runner.addresses[0][1]
    yield S3Config(
        bucket="bucket", endpoint_url=f"http://127.0.0.1:{port}", access_key_id="id", secret_access_key="secret"
    )
    await runner.cleanup()


@pytest.fixture
async def store(config: S3Config) -> AsyncIterator[S3Store]:
    async with S3Store.open(config) as opened:
        yield opened


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (200, "InternalError", StoreUnavailable),
        (200, "InvalidPart", StoreRejected),
        (200, "NoSuchUpload", ObjectNotFound),
        (200, "SlowDown", StoreThrottled),
        (503, "SlowDown", StoreThrottled),
        (500, "InternalError", StoreUnavailable),
        (400, "EntityTooSmall", StoreRejected),
        (412, "PreconditionFailed", StoreConflict),
    ],
)
async def test_complete_with_an_error_body_raises_its_error_without_retry(
    script: Script, store: S3Store, status: int, code: str, expected: type[StoreError]
) -> None:
    script.say_error(status, code)

    with pytest.raises(StoreError) as caught:
        await store.complete_multipart("key", "id", PARTS, 1)

    assert type(caught.value) is expected
    assert len(script.requests) == 1


async def test_complete_with_leading_white_space_waits_for_the_result(script: Script, store: S3Store) -> None:
    async def slowly(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(3):
            await response.write(b" \n")
        await response.write(b"<?xml version='1.0'?><Error><Code>InvalidPart</Code></Error>")
        return response

    script.answer = slowly
    with pytest.raises(StoreRejected, match="InvalidPart"):
        await store.complete_multipart("key", "id", PARTS, 1)


@pytest.mark.parametrize("body", ["", "   ", "<CompleteMultipartUploadResult><Loc", "<html></html>"])
async def test_complete_without_a_result_is_unavailable(script: Script, store: S3Store, body: str) -> None:
    script.say(200, body)
    with pytest.raises(StoreUnavailable):
        await store.complete_multipart("key", "id", PARTS, 1)


async def test_complete_sends_exactly_the_given_parts(script: Script, store: S3Store) -> None:
    bodies = []

    async def record(request: web.Request) -> web.Response:
        bodies.append(await request.read())
        return web.Response(text="<CompleteMultipartUploadResult/>")

    script.answer = record
    await store.complete_multipart("key", "a/b+c=", [CompletedPart(1, 'x<&>"', bytes(32))], 77)

    (request,) = script.requests
    assert request.query["uploadId"] == "a/b+c="
    assert request.headers["x-amz-mp-object-size"] == "77"
    assert b'<ETag>&quot;x&lt;&amp;&gt;"&quot;</ETag>' in bodies[0]
    assert f"<ChecksumSHA256>{to_base64(bytes(32))}</ChecksumSHA256>".encode() in bodies[0]


async def test_copy_with_an_error_inside_a_200_is_refused(script: Script, store: S3Store) -> None:
    script.say_error(200, "InvalidRequest")
    with pytest.raises(StoreRejected, match="InvalidRequest"):
        await store.copy_part("key", "id", 1, "source", start=0, size_bytes=5)


@pytest.mark.parametrize("call", ["list_parts", "abort_multipart"])
async def test_idempotent_call_survives_two_failures(script: Script, store: S3Store, call: str) -> None:
    async def third_time(_: web.Request) -> web.Response:
        if len(script.requests) < 3:
            return web.Response(status=503, text="<Error><Code>SlowDown</Code></Error>")
        return web.Response(text="<ListPartsResult><IsTruncated>false</IsTruncated></ListPartsResult>")

    script.answer = third_time
    await getattr(store, call)("key", "id")
    assert len(script.requests) == 3


async def test_throttled_call_fails_after_three_attempts(script: Script, store: S3Store) -> None:
    script.say_error(503, "SlowDown")
    with pytest.raises(StoreThrottled):
        await store.list_parts("key", "id")
    assert len(script.requests) == 3
    with pytest.raises(StoreThrottled):
        await store.delete("key")
    assert len(script.requests) == 6


async def test_proxy_404_is_unavailable(script: Script, store: S3Store) -> None:
    script.say(404, "<html>no route</html>")
    for call in (store.list_parts("key", "id"), anext(store.read("key")), store.delete("key")):
        with pytest.raises(StoreUnavailable):
            await call
    with pytest.raises(ObjectNotFound):  # the response to a HEAD has no body with a code
        await store.head("key")


async def test_redirect_is_refused(script: Script, store: S3Store) -> None:
    async def elsewhere(_: web.Request) -> web.Response:
        return web.Response(status=307, headers={"location": "http://127.0.0.1:9/elsewhere"})

    script.answer = elsewhere
    with pytest.raises(StoreRejected, match="307"):
        await store.list_parts("key", "id")


def _page(numbers: range, *, next_marker: int | None) -> str:
    rows = "".join(
        f"<Part><PartNumber>{n}</PartNumber><LastModified>2026-01-01T00:00:00Z</LastModified><ETag>e{n}</ETag>"
        f"<Size>{n}</Size></Part>"
        for n in numbers
    )
    more = f"<IsTruncated>true</IsTruncated><NextPartNumberMarker>{next_marker}</NextPartNumberMarker>"
    end = "<IsTruncated>false</IsTruncated>" if next_marker is None else more
    return f"<ListPartsResult>{end}{rows}</ListPartsResult>"


@pytest.mark.parametrize("page_size", [1, 7, 10, 99, 100, 1_000])
@pytest.mark.parametrize("shrinking", [False, True])
async def test_list_parts_with_pages_of_any_length_returns_every_part(
    script: Script, store: S3Store, page_size: int, shrinking: bool
) -> None:
    """`shrinking`: a store may end a page early; every second page has half the length."""
    existing = [n for n in range(1, 101) if n % 10]  # numbers with gaps

    async def listing(request: web.Request) -> web.Response:
        marker = int(request.query.get("part-number-marker", "0"))
        limit = max(1, page_size // 2) if shrinking and len(script.requests) % 2 == 0 else page_size
        rest = [n for n in existing if n > marker]
        page = rest[:limit]
        return web.Response(text=_page(page, next_marker=page[-1] if len(rest) > limit else None))  # type: ignore[arg-type]

    script.answer = listing
    assert [part.number for part in await store.list_parts("key", "id")] == existing


async def test_list_parts_that_does_not_advance_is_unavailable(script: Script, store: S3Store) -> None:
    script.say(200, _page(range(1, 3), next_marker=2))
    with pytest.raises(StoreUnavailable, match="advance"):
        await store.list_parts("key", "id")


async def test_list_parts_of_an_upload_gone_between_pages_is_not_found(script: Script, store: S3Store) -> None:
    async def vanishing(request: web.Request) -> web.Response:
        if "part-number-marker" in request.query:
            return web.Response(status=404, text="<Error><Code>NoSuchUpload</Code></Error>")
        return web.Response(text=_page(range(1, 3), next_marker=2))

    script.answer = vanishing
    with pytest.raises(ObjectNotFound):
        await store.list_parts("key", "id")


async def test_truncated_body_is_unavailable(script: Script, store: S3Store) -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-length": "100"})
        await response.prepare(request)
        await response.write(b"x" * 60)
        assert request.transport is not None
        request.transport.close()
        return response

    script.answer = cut
    blocks = store.read("key")
    assert await anext(blocks) == b"x" * 60
    with pytest.raises(StoreUnavailable):
        await anext(blocks)


async def test_stalled_store_is_unavailable(script: Script, config: S3Config) -> None:
    released = asyncio.Event()

    async def stall(_: web.Request) -> web.Response:
        await released.wait()
        return web.Response()

    script.answer = stall
    async with S3Store.open(replace(config, read_timeout_s=0.05)) as store:
        for call in (store.head("key"), store.list_parts("key", "id"), anext(store.read("key"))):
            with pytest.raises(StoreUnavailable):
                await call
    released.set()


async def test_unreachable_store_is_unavailable() -> None:
    with socket.socket() as closed:  # bound, not listening: connections are refused
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        config = S3Config(
            bucket="bucket", endpoint_url=f"http://127.0.0.1:{port}", access_key_id="id", secret_access_key="secret"
        )
        async with S3Store.open(config) as store:
            for call in (store.head("key"), store.complete_multipart("key", "id", PARTS, 1)):
                with pytest.raises(StoreUnavailable):
                    await call


async def test_urls_have_the_public_endpoint_and_calls_use_the_internal_one(script: Script, config: S3Config) -> None:
    now = datetime(2026, 11, 20, 12, 0, 0, 999_999, tzinfo=UTC)
    script.say(200, _page(range(0), next_marker=None))
    public = replace(config, public_endpoint_url="https://files.example.com/s3")
    async with S3Store.open(public, clock=lambda: now) as store:
        part, other = store.sign_parts("a/b", "up", [PartToSign(3, 5, bytes(32)), PartToSign(4, 6, bytes(32))], 60)
        put = store.sign_put("a/b", 5, bytes(32), 60)
        get = store.sign_get("a/b", ResponseHeaders("x", "text/plain", inline=False), method="GET", ttl_s=60)
        await store.list_parts("a/b", "up")

    for signed in (part, other, put, get):
        assert signed.url.startswith("https://files.example.com/s3/bucket/a/b?")
        assert signed.expires_at == datetime(2026, 11, 20, 12, 1, tzinfo=UTC)
    assert part.headers == put.headers == {"content-length": "5", "x-amz-checksum-sha256": to_base64(bytes(32))}
    assert other.headers["content-length"] == "6"
    assert parse_qs(urlsplit(part.url).query)["partNumber"] == ["3"]
    assert [request.path for request in script.requests] == ["/bucket/a/b"]


async def test_rotated_machine_credentials_are_used(
    script: Script, config: S3Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Credentials of the environment replace an instance role; the test rotates them."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "first")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token+1")
    monkeypatch.setattr(s3, "_CREDENTIALS_CHECK_S", 0.01)
    async with S3Store.open(replace(config, access_key_id=None, secret_access_key=None)) as store:
        query = parse_qs(urlsplit(store.sign_put("k", 1, bytes(32), 60).url).query)
        assert query["X-Amz-Credential"][0].startswith("first/")
        assert query["X-Amz-Security-Token"] == ["token+1"]

        source = await store._session.get_credentials()  # type: ignore[misc]
        source.access_key = "second"
        async with asyncio.timeout(30):
            while "=second%2F" not in store.sign_put("k", 1, bytes(32), 60).url:  # noqa: ASYNC110 - there is no event
                await asyncio.sleep(0.01)


async def test_open_without_credentials_raises(config: S3Config, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    with pytest.raises(StoreRejected, match="NoCredentials"):
        async with S3Store.open(replace(config, access_key_id=None, secret_access_key=None)):
            pass
