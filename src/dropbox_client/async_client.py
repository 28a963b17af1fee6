"""The asynchronous client; it needs the extra `async`."""

import asyncio
import contextlib
import dataclasses
import os
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Self, TypeVar

from dropbox_client.async_resources import Resources
from dropbox_client.async_transport import MAX_CONNECTIONS, AsyncTransport
from dropbox_client.call import Response
from dropbox_client.errors import Stopped
from dropbox_client.exchange import Blocking, Exchange, Locked, Pause, Request, Step, Steps
from dropbox_client.models import File, FileRef, OnConflict
from dropbox_client.tokens import TokenStore
from dropbox_client.transfer.waiting import iterate_in_threads

if TYPE_CHECKING:
    from dropbox_client.transfer.content import Content
    from dropbox_client.transfer.progress import OnProgress
    from dropbox_client.transfer.source import Source

T = TypeVar("T")


class AsyncClient(Resources):
    """The API of one server as one user, for asyncio. Names and meanings are those of `Client`.

        async with AsyncClient("https://files.example.org", token="dbx_pat_...") as client:
            file = await client.upload("cat.jpg", to="/photos/cat.jpg")
            async for found in client.files.list("/photos"):
                ...

    Many tasks of one event loop may share a client. At most `max_connections` connections are open; further requests
    wait. Cancelling a task ends its transfer; the same call continues it later.
    """

    def __init__(
        self,
        base_url: str,
        tokens: TokenStore | None = None,
        *,
        token: str | None = None,
        transport: AsyncTransport | None = None,
        max_connections: int = MAX_CONNECTIONS,
        retry_for_s: float = 60,
    ) -> None:
        """Connect as `Client` does."""
        super().__init__(Exchange(base_url, tokens, token, retry_for_s))
        self.transport = transport or AsyncTransport(max_connections)
        self.stopping = asyncio.Event()
        self.transfer_slots = asyncio.Semaphore(max(1, max_connections // 2))
        """Parts in flight; the other connections remain for requests to the API."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._token_lock = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Abort every request and transfer in progress; each raises Stopped."""
        self.stopping.set()
        await self.transport.close()

    # Transfers

    async def upload(
        self,
        content: "Content",
        to: str | None = None,
        *,
        folder: FileRef | None = None,
        on_conflict: OnConflict = "fail",
        file_id: str | None = None,
        base_revision_id: str | None = None,
        executable: bool | None = None,
        progress: "OnProgress | None" = None,
    ) -> File:
        """Upload a path, bytes or a binary file object, as `Client.upload` does; files are read in threads."""
        from dropbox_client.transfer.async_upload import AsyncUpload  # noqa: PLC0415 - imported when needed
        from dropbox_client.transfer.content import make_item  # noqa: PLC0415
        from dropbox_client.transfer.progress import ProgressReport  # noqa: PLC0415

        parent_id = None if folder is None else await self.files.resolve(folder)
        item = make_item(content, to, parent_id, on_conflict, file_id, base_revision_id)
        item = dataclasses.replace(item, executable=executable)
        async with self._open_source(content) as source:
            with ProgressReport(progress, source.size_bytes) as report:
                return await AsyncUpload(self, item, source, report).run()

    async def download(
        self,
        file: FileRef,
        to: str | os.PathLike[str] | IO[bytes],
        *,
        revision_id: str | None = None,
        overwrite: bool = False,
        progress: "OnProgress | None" = None,
    ) -> File:
        """Download a file to a path or into a binary file object, as `Client.download` does."""
        from dropbox_client.transfer.async_download import download_to_path, download_to_stream  # noqa: PLC0415
        from dropbox_client.transfer.download import join_name  # noqa: PLC0415
        from dropbox_client.transfer.progress import ProgressReport  # noqa: PLC0415

        chosen = file if isinstance(file, File) else await self.files.get(file)
        if revision_id is not None:
            chosen = dataclasses.replace(chosen, revision_id=revision_id, client_modified_at=None)
        with ProgressReport(progress, chosen.size_bytes or 0) as report:
            if not isinstance(to, str | os.PathLike):
                await download_to_stream(self, chosen, to, report)
                return chosen
            is_folder = await asyncio.to_thread(os.path.isdir, to)
            target = join_name(Path(to), chosen.name) if is_folder else Path(to)
            await download_to_path(self, chosen, target, report, overwrite=overwrite)
        return chosen

    @contextlib.asynccontextmanager
    async def _open_source(self, content: "Content") -> AsyncIterator["Source"]:
        """Open content in a thread, which ends its waiting for a pipe when the task is cancelled."""
        from dropbox_client.transfer.content import open_source  # noqa: PLC0415

        is_cancelled = False

        def check() -> None:
            if is_cancelled:
                raise Stopped("cancelled")
            self.check()

        opening = asyncio.ensure_future(asyncio.to_thread(open_source, content, check))
        try:
            source = await asyncio.shield(opening)
        except asyncio.CancelledError:
            is_cancelled = True
            opening.add_done_callback(_close_source)
            raise
        with source:
            yield source

    def check(self) -> None:
        """Raise Stopped after `close`."""
        if self.stopping.is_set():
            raise Stopped("stopped")

    # The driver of `exchange`

    async def drive(self, steps: Steps[T]) -> T:
        """Perform steps and return their result. Raises their exceptions, and Stopped after `close`."""
        self._require_loop()
        advance = steps.send
        value: Any = None
        while True:
            try:
                step = advance(value)
            except StopIteration as end:
                result: T = end.value
                return result
            try:
                value, advance = await self._perform(step), steps.send
            except Exception as error:  # noqa: BLE001 - the steps decide
                value, advance = error, steps.throw

    def _require_loop(self) -> None:
        running = asyncio.get_running_loop()
        self._loop = self._loop or running
        if self._loop is not running:  # httpx2 would report it as a broken connection
            raise RuntimeError("this client belongs to another event loop: open one for each loop")

    async def pause(self, duration_s: float) -> None:
        """Wait. Raises Stopped."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.stopping.wait(), duration_s)
        self.check()

    async def _perform(self, step: Step) -> Any:
        match step:
            case Request():
                return await self._send(step)
            case Pause(duration_s):
                return await self.pause(duration_s)
            case Blocking(function):
                return await asyncio.to_thread(function)
            case Locked(steps):
                async with self._locked():
                    return await self.drive(steps)

    async def _send(self, request: Request) -> Response:
        body = request.body if isinstance(request.body, bytes) else iterate_in_threads(request.body.blocks())
        if request.receiver is None:
            return await self.transport.send(
                request.method, request.url, request.headers, body, idle_timeout_s=request.timeout_s
            )
        async with self.transport.open(
            request.method, request.url, request.headers, body, idle_timeout_s=request.timeout_s
        ) as response:
            pieces, headers = self.transport.read_pieces(response), dict(response.headers.items())
            if response.status_code >= 300:
                return Response(response.status_code, headers, b"".join([piece async for piece in pieces]))
            await asyncio.to_thread(request.receiver.restart)
            async for piece in pieces:
                await asyncio.to_thread(request.receiver.write, memoryview(piece))
            return Response(response.status_code, headers, b"")

    @contextlib.asynccontextmanager
    async def _locked(self) -> AsyncIterator[None]:
        """Hold the lock of the token store, which another process may hold for seconds: wait in a thread."""
        async with self._token_lock:
            lock = self.exchange.store.locked()
            entering = asyncio.ensure_future(asyncio.to_thread(lock.__enter__))
            try:
                await asyncio.shield(entering)
            except asyncio.CancelledError:
                entering.add_done_callback(lambda _: lock.__exit__(None, None, None))
                raise
            try:
                yield
            finally:
                lock.__exit__(None, None, None)


def _close_source(opened: "asyncio.Future[Source]") -> None:
    if not opened.exception():
        opened.result().close()
