"""The asynchronous client of the SDK against a real server and a real store."""

import asyncio
import gzip
import io
import os
import zipfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from dropbox_client import AsyncClient, Event, FileChanged, LinkPasswordRequired, NameTaken, NotSignedIn, Stopped
from dropbox_client.transfer.cdc import cut_bytes
from tests.support.sdk import as_pipe, async_client, stored_tokens
from tests.support.server import Account, RunningServer, sha256

MIB = 2**20
LARGE = os.urandom(5 * MIB) * 5

pytestmark = pytest.mark.usefixtures("invariants_hold")


@pytest.fixture
async def client(server: RunningServer, account: Account) -> AsyncIterator[AsyncClient]:
    async with async_client(server, account) as opened:
        yield opened


def count_connections(port: int) -> int:
    """Return the number of established connections of this machine to a local port."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[2].endswith(f":{port:04X}") and row[3] == "01" for row in rows)


async def read_back(client: AsyncClient, path: str) -> bytes:
    content = io.BytesIO()
    await client.download(path, to=content)
    return content.getvalue()


@pytest.mark.parametrize("size", [0, 1, 3 * MIB, len(LARGE)])
async def test_upload_and_download_of_any_size(client: AsyncClient, tmp_path: Path, size: int) -> None:
    data = LARGE[:size]
    local = tmp_path / "local.txt"
    local.write_bytes(data)
    done: list[int] = []
    file = await client.upload(local, to="/in/", progress=lambda sent, _: done.append(sent))
    assert (file.path, file.fingerprint, file.content_type) == ("/in/local.txt", sha256(data), "text/plain")
    assert done[-1:] == [size][: bool(size)]
    assert await read_back(client, file.path) == data
    await client.download(file, to=tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == data
    assert sorted(os.listdir(tmp_path)) == ["copy", "local.txt"]  # noqa: PTH208 - a few names


async def test_download_over_an_older_version_begins_with_the_chunks_of_it(client: AsyncClient, tmp_path: Path) -> None:
    (tmp_path / "copy").write_bytes(LARGE)
    edited = b"edited" + LARGE[6:]
    file = await client.upload(edited, to="/in/large")
    done: list[int] = []
    await client.download(
        file, to=tmp_path / "copy", overwrite=True, progress=lambda received, _: done.append(received)
    )
    assert done[0] == len(LARGE) - next(cut_bytes(edited))
    assert (tmp_path / "copy").read_bytes() == edited


async def test_cancelled_download_writes_to_no_file_after_its_end(client: AsyncClient, tmp_path: Path) -> None:
    old = os.urandom(64 * MIB)
    (tmp_path / "copy").write_bytes(old)
    file = await client.upload(b"edited" + old[6:], to="/in/cancelled")
    part = tmp_path / f".copy.{str(file.fingerprint)[:16]}.dbx-part"
    task = asyncio.create_task(client.download(file, to=tmp_path / "copy", overwrite=True))
    while not part.exists() or part.stat().st_size <= 8 * MIB:  # noqa: ASYNC110 - until chunks are copied
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with (tmp_path / "next").open("w+b") as next_file:  # it takes the lowest descriptor that is free
        await asyncio.sleep(0.2)
        assert os.fstat(next_file.fileno()).st_size == 0
    assert (tmp_path / "copy").read_bytes() == old


async def test_200_concurrent_uploads_use_bounded_connections(server: RunningServer, account: Account) -> None:
    port = urlsplit(server.url).port
    assert port
    peak = 0

    async def watch() -> None:
        nonlocal peak
        while True:
            peak = max(peak, await asyncio.to_thread(count_connections, port))
            await asyncio.sleep(0.05)

    async with async_client(server, account) as client:
        watcher = asyncio.create_task(watch())
        contents = [os.urandom(100_000) for _ in range(200)]
        files = await asyncio.gather(*(client.upload(data, to=f"/many/{n}") for n, data in enumerate(contents)))
        watcher.cancel()
        assert [file.fingerprint for file in files] == [sha256(data) for data in contents]
        assert {found.name async for found in client.files.list("/many")} == {str(n) for n in range(200)}
    assert 1 <= peak <= 32 + 1  # and one of the account's raw client


async def test_cancelled_upload_is_resumed(client: AsyncClient) -> None:
    started = asyncio.Event()

    def report(done: int, total: int) -> None:
        if done > total / 2:
            started.set()

    task = asyncio.create_task(client.upload(LARGE, to="/large", progress=report))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    sessions = [session async for session in client.uploads.list(state="active")]
    if sessions:  # else the upload had finished
        assert sessions[0].fingerprint is None  # the content was hashed while it was sent
        await client.upload(LARGE, to="/large")
        assert (await client.uploads.get(sessions[0].id)).state == "completed"
    assert await read_back(client, "/large") == LARGE


async def test_exception_of_the_progress_callback_is_raised_and_the_next_upload_resumes(client: AsyncClient) -> None:
    def stop(done: int, total: int) -> None:
        if done > total / 2:
            raise OSError("enough")

    with pytest.raises(OSError, match="enough"):
        await client.upload(LARGE, to="/large", progress=stop)
    (session,) = [session async for session in client.uploads.list(state="active")]
    await client.upload(LARGE, to="/large")
    assert (await client.uploads.get(session.id)).state == "completed"


async def test_taken_name_raises_name_taken_with_its_file(client: AsyncClient) -> None:
    first = await client.upload(b"one", to="/a.txt")
    with pytest.raises(NameTaken) as raised:
        await client.upload(b"two", to="/a.txt")
    assert raised.value.file_id == first.id


async def test_close_stops_requests_in_progress_and_later_ones(client: AsyncClient) -> None:
    cursor = await client.events.get_cursor()

    async def wait() -> None:
        await anext(client.events.follow(cursor))

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0.3)
    await client.close()
    with pytest.raises(Stopped):
        await asyncio.wait_for(waiting, 10)
    with pytest.raises(Stopped):
        await client.account.get()


async def test_expired_token_is_renewed_once_for_concurrent_requests(server: RunningServer, account: Account) -> None:
    async with async_client(server, account) as client:
        store = client.exchange.store
        tokens = store.load()
        assert tokens
        expired = type(tokens)(tokens.server, tokens.email, "expired", tokens.refresh_token)
        store.save(expired)
        async with AsyncClient(server.url, store) as other:
            accounts = await asyncio.gather(*(other.account.get() for _ in range(20)))
        assert {found.email for found in accounts} == {account.email}
        renewed = store.load()
        assert renewed
        # Two access tokens of one second are equal; refresh tokens never are.
        assert renewed.access_token != "expired"
        assert renewed.refresh_token != tokens.refresh_token


async def test_client_without_sign_in_raises_not_signed_in(server: RunningServer) -> None:
    async with AsyncClient(server.url) as client:
        with pytest.raises(NotSignedIn):
            await client.account.get()


async def test_events_are_followed_while_they_happen_and_resumed(client: AsyncClient) -> None:
    cursor = await client.events.get_cursor()
    seen: list[Event] = []

    async def follow(start: str, count: int) -> None:
        async for event in client.events.follow(start):
            if event.kind == "file.created":
                seen.append(event)
            if len(seen) == count:
                return

    following = asyncio.create_task(follow(cursor, 2))
    files = [await client.upload(b"x", to=f"/{number}") for number in range(2)]
    await asyncio.wait_for(following, 60)
    files.append(await client.upload(b"x", to="/2"))
    resumed = seen[-1].cursor
    assert resumed
    await asyncio.wait_for(follow(resumed, 3), 60)
    assert [event.file_id for event in seen] == [file.id for file in files]
    assert [event.file and event.file.path for event in seen] == ["/0", "/1", "/2"]
    listed = [event.file_id async for event in client.events.list(cursor) if event.kind == "file.created"]
    assert listed == [file.id for file in files]


async def test_visitor_uses_links_with_a_password(client: AsyncClient, server: RunningServer, tmp_path: Path) -> None:
    password = "žluťoučký kůň 日本"
    file = await client.upload(LARGE, to="/team/large")
    link = await client.links.create("/team", "download", password=password)
    inbox = await client.links.create("/team", "upload", password=password)
    async with AsyncClient(server.url) as visitor:
        with pytest.raises(LinkPasswordRequired):
            await visitor.public.get_link(link)
        assert (await visitor.public.get_link(link, password=password)).name == "team"
        assert [found.id async for found in visitor.public.list_files(link, password=password)] == [file.id]
        await visitor.public.download(link, file.id, tmp_path / "large", password=password)
        assert (tmp_path / "large").read_bytes() == LARGE
        content = io.BytesIO()
        await visitor.public.download_archive(link, content, password=password)
        with zipfile.ZipFile(content) as archive:
            assert archive.read("team/large") == LARGE
        await visitor.public.upload(inbox, LARGE[:-1], "other", password=password)
    assert await read_back(client, "/team/other") == LARGE[:-1]
    await client.files.download_archive("/team", tmp_path / "team.zip")
    with zipfile.ZipFile(tmp_path / "team.zip") as archive:
        assert {"team/large", "team/other"} <= set(archive.namelist())


@pytest.mark.parametrize("form", ["bytesio", "file", "pipe", "gzip"])
async def test_upload_of_any_content_stores_its_bytes(client: AsyncClient, tmp_path: Path, form: str) -> None:
    local = tmp_path / "local"
    local.write_bytes(gzip.compress(LARGE) if form == "gzip" else LARGE)
    forms: dict[str, Callable[[], Any]] = {
        "bytesio": lambda: io.BytesIO(LARGE),
        "file": lambda: local.open("rb"),
        "pipe": lambda: as_pipe(LARGE),
        "gzip": lambda: gzip.GzipFile(local),
    }
    with forms[form]() as content:
        file = await client.upload(content, to="/x")
    assert file.fingerprint == sha256(LARGE)


async def test_cancelled_upload_from_a_silent_pipe_leaves_no_thread(server: RunningServer, account: Account) -> None:
    reader, writer = os.pipe()

    async def cancel() -> None:
        async with async_client(server, account) as client:
            with os.fdopen(reader, "rb") as pipe, pytest.raises(TimeoutError):
                await asyncio.wait_for(client.upload(pipe, to="/pipe"), 0.5)

    # `run` waits for the threads of its loop.
    await asyncio.wait_for(asyncio.to_thread(asyncio.run, cancel()), 60)
    os.close(writer)


@pytest.mark.parametrize("change", [1, -1])
async def test_file_of_another_size_at_the_end_is_not_stored(client: AsyncClient, tmp_path: Path, change: int) -> None:
    local = tmp_path / "local"
    local.write_bytes(LARGE)
    with pytest.raises(FileChanged):
        await client.upload(local, to="/x", progress=lambda *_: os.truncate(local, len(LARGE) + change))
    assert [file async for file in client.files.list()] == []
    assert [upload async for upload in client.uploads.list(state="active")] == []


async def test_client_of_another_event_loop_is_refused(server: RunningServer, account: Account) -> None:
    client = AsyncClient(server.url, stored_tokens(server, account))

    async def use() -> None:
        await client.account.get()
        await client.transport.close()

    def run() -> None:
        asyncio.run(use())
        with pytest.raises(RuntimeError, match="event loop"):
            asyncio.run(use())

    await asyncio.wait_for(asyncio.to_thread(run), 30)
