"""The blocking client."""

import dataclasses
import os
import threading
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Self, TypeVar

from dropbox_client.call import Response
from dropbox_client.errors import Stopped
from dropbox_client.exchange import Blocking, Exchange, Locked, Pause, Request, Step, Steps
from dropbox_client.models import File, FileRef, OnConflict
from dropbox_client.resources import Resources
from dropbox_client.tokens import TokenStore
from dropbox_client.transport import Transport

if TYPE_CHECKING:
    from dropbox_client.transfer.content import Content
    from dropbox_client.transfer.progress import OnProgress
    from dropbox_client.transfer.upload_file import UploadContext

T = TypeVar("T")


class Client(Resources):
    """The API of one server as one user.

        with Client("https://files.example.org", token="dbx_pat_...") as client:
            file = client.upload("cat.jpg", to="/photos/cat.jpg")
            for found in client.files.list("/photos"):
                ...
            client.download("/photos/cat.jpg", to="copy.jpg")

    A client is thread-safe. Transient failures are retried for `retry_for_s`, Retry-After is obeyed, and an expired
    access token is renewed. Exceptions are those of `resources`.
    """

    def __init__(
        self,
        base_url: str,
        tokens: TokenStore | None = None,
        *,
        token: str | None = None,
        transport: Transport | None = None,
        retry_for_s: float = 60,
    ) -> None:
        """Connect to `base_url` with a personal access token, or with the tokens that `tokens` stores for it.

        Without both, `sign_in` follows, and the tokens stay in memory. A failing request is retried for `retry_for_s`
        before its last failure is raised. Raises ValueError for an address or a token that cannot be one.
        """
        super().__init__(Exchange(base_url, tokens, token, retry_for_s))
        self.transport = transport or Transport(self.exchange.waits)
        self.stopping = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Abort every request and transfer in progress; each raises Stopped. Any thread may call it.

        An interrupted upload or download continues when it is repeated, also with another client.
        """
        self.stopping.set()
        self.transport.close()

    # Transfers

    def upload(
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
        """Upload a path, bytes or a binary file object, and return the file.

        `to` is the path of the file, such as "/photos/cat.jpg"; missing folders are created. A path that ends with a
        slash gets the name of the local file. With `folder`, such as a shared one, `to` is the name in that folder.
        With `on_conflict="replace"`, `base_revision_id` is the revision that the content replaces: RevisionConflict is
        raised if the file has a newer one.
        `file_id` with `base_revision_id` instead of `to` replaces the content of that file wherever it is, also when it
        was renamed or moved meanwhile; a deleted file comes back. Nothing changes if it has the content already.
        `executable` marks a file that may be run. None: as the local file; other content keeps the mark.

        `progress` is called with the bytes done and the total. An exception of it ends the upload and is raised. The
        server keeps what was sent: the same call continues after an exception, a `close`, or the end of the process.
        After KeyboardInterrupt the client is closed.

        Raises: NameTaken, QuotaExceeded, InvalidName, ...; FileChanged, Unreadable, TransferFailed, Stopped.
        """
        from dropbox_client.transfer.content import make_item, open_source  # noqa: PLC0415 - `dbx` starts faster without
        from dropbox_client.transfer.progress import ProgressReport  # noqa: PLC0415
        from dropbox_client.transfer.upload_file import upload_source  # noqa: PLC0415

        parent_id = None if folder is None else self.files.resolve(folder)
        item = make_item(content, to, parent_id, on_conflict, file_id, base_revision_id)
        item = dataclasses.replace(item, executable=executable)
        with open_source(content, self.check) as source, ProgressReport(progress, source.size_bytes) as report:
            context = dataclasses.replace(self._upload_context, listener=report)
            return upload_source(context, item, source)

    def download(
        self,
        file: FileRef,
        to: str | os.PathLike[str] | IO[bytes],
        *,
        revision_id: str | None = None,
        overwrite: bool = False,
        progress: "OnProgress | None" = None,
    ) -> File:
        """Download a file to a path or into a binary file object, and return what was downloaded.

        A path gets its complete content at once, after the hash of all bytes was verified; into a folder, under the
        name of the file. An existing file is replaced only with `overwrite`. An interrupted download to a path
        continues when it is repeated. A file object gets the last piece only if the hash of all bytes is right.

        `progress` is as in `upload`. Raises: NotFound, NotAFile, LocalExists, Corrupt, TransferFailed, Stopped; OSError
        of the local file system.
        """
        from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

        from dropbox_client.transfer.download import download, join_name  # noqa: PLC0415
        from dropbox_client.transfer.partial_file import StalePartialFiles  # noqa: PLC0415
        from dropbox_client.transfer.progress import ProgressReport  # noqa: PLC0415
        from dropbox_client.transfer.ranges import PARALLEL, stream_content  # noqa: PLC0415

        chosen = file if isinstance(file, File) else self.files.get(file)
        if revision_id is not None:
            chosen = dataclasses.replace(chosen, revision_id=revision_id, client_modified_at=None)
        with ProgressReport(progress, chosen.size_bytes or 0) as report:
            if isinstance(to, str | os.PathLike):
                target = join_name(Path(to), chosen.name) if Path(to).is_dir() else Path(to)
                download(self, chosen, target, overwrite=overwrite, on_bytes=report.add)
                StalePartialFiles().delete(target)
                return chosen
            with ThreadPoolExecutor(PARALLEL, thread_name_prefix="fetch") as pool:
                for piece in stream_content(self, chosen, pool, on_bytes=report.add):
                    to.write(piece)
        return chosen

    def check(self) -> None:
        """Raise Stopped after `close`."""
        if self.stopping.is_set():
            raise Stopped("stopped")

    @cached_property
    def _upload_context(self) -> "UploadContext":
        from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

        from dropbox_client.transfer.concurrency import MAX_PARALLEL, ConcurrencyLimit  # noqa: PLC0415
        from dropbox_client.transfer.progress import ProgressListener  # noqa: PLC0415
        from dropbox_client.transfer.upload_file import UploadContext  # noqa: PLC0415

        senders = ThreadPoolExecutor(MAX_PARALLEL, thread_name_prefix="send")
        return UploadContext(self, senders, ConcurrencyLimit(), ProgressListener())

    # The driver of `exchange`

    def drive(self, steps: Steps[T]) -> T:
        """Perform steps and return their result. Raises their exceptions, and Stopped after `close`."""
        advance = steps.send
        value: Any = None
        while True:
            try:
                step = advance(value)
            except StopIteration as end:
                result: T = end.value
                return result
            try:
                value, advance = self._perform(step), steps.send
            except Exception as error:  # noqa: BLE001 - the steps decide
                value, advance = error, steps.throw

    def _perform(self, step: Step) -> Any:
        match step:
            case Request():
                return self._send(step)
            case Pause(duration_s):
                if self.stopping.wait(duration_s):
                    raise Stopped("stopped")
                return None
            case Blocking(function):
                return function()
            case Locked(steps):
                with self.exchange.store.locked():
                    return self.drive(steps)

    def _send(self, request: Request) -> Response:
        body = request.body if isinstance(request.body, bytes) else request.body.blocks
        with self.transport.open(
            request.method, request.url, request.headers, body, idle_timeout_s=request.timeout_s
        ) as stream:
            if request.receiver is None or stream.status >= 300:
                return Response(stream.status, stream.headers, stream.read())
            request.receiver.restart()
            for block in stream.blocks():
                request.receiver.write(block)
            return Response(stream.status, stream.headers, b"")
